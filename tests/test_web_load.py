"""Under load: two hundred clients at once are all answered; more are told at once to come again."""

import asyncio

import pytest

from bench.serve import LOADS, Load, put_load, serving

FACE = LOADS[0][0]


@pytest.fixture(scope="module")
def address():
    with serving() as address:
        asyncio.run(put_load(address, FACE, 200, 3))  # memory grows up to the largest batch
        yield address


def put(address: str, clients: int, seconds: float) -> Load:
    load = asyncio.run(put_load(address, FACE, clients, seconds))
    assert load.memory[1] - load.memory[0] < 150e6
    return load


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_two_hundred_clients_at_once_are_all_answered(address, seconds):
    load = put(address, 200, seconds)
    assert set(load.statuses) == {200}
    assert load.quantile(0.99) < 3 * load.quantile(0.5)  # on whatever machine: nobody is passed over


def test_what_is_too_much_is_told_at_once_to_come_again(address):
    load = put(address, 700, 10)  # long enough for a loaded machine to accept them all
    assert set(load.statuses) == {200, 503}
    assert load.statuses[200] > 0


def test_the_table_has_a_row_a_load(monkeypatch, tmp_path):
    import bench.serve

    monkeypatch.setattr(bench.serve, "LOADS", ((FACE, 3, 0.5),))
    lines = bench.serve.measure(tmp_path).splitlines()
    assert len(lines) == 3
    assert f"| {FACE} | 3 |" in lines[-1]
