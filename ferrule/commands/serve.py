"""`ferrule serve`: the model as a page and a REST server."""

import os
from pathlib import Path

import click

HOST, PORT = "127.0.0.1", 8765
RATE = 20.0  # requests a second of one client, where a token says that there are others than oneself


@click.command()
@click.option(
    "--host", default=HOST, show_default=True, help="The address to listen on; others than this machine's need a token."
)
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option(
    "--model",
    "which",
    default="auto",
    show_default=True,
    help="auto, pretrained, an alias, a version, or the folder of an exported model.",
)
@click.option("--name", help="The registered model, where there are several.")
@click.option("--int8", is_flag=True, help="Compute in 8 bits: faster, a little less accurate.")
@click.option(
    "--abstain",
    type=click.FloatRange(0.5, 0.99),
    help="Say 'uncertain' unless a request asks otherwise, so that this share of answers is right.",
)
@click.option(
    "--token",
    envvar="FERRULE_TOKEN",
    help="What clients must show; better given as FERRULE_TOKEN, which `ps` does not show.",
)
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    help="Another name that the server is asked under, as behind a proxy; several times for several.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second of one client; by default 20 with a token, and any number without.",
)
@click.option("--log", is_flag=True, help="One line a request: its path, status and time.")
def serve(
    host: str,
    port: int,
    which: str,
    name: str | None,
    int8: bool,
    abstain: float | None,
    token: str | None,
    names: tuple[str, ...],
    rate: float | None,
    log: bool,
) -> None:
    """Answer on this machine: a page for people, REST for programs, until Ctrl-C."""
    from ferrule.web.access import decide_access

    access = decide_access(host, names, token)
    from ferrule.web.limits import Limits
    from ferrule.web.server import address_of, listen, run_server

    listening = listen(host, port)
    # What a file hides from `read_size` OpenCV does not decode either; it reads this when it is loaded, as below.
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(Limits.photo_pixels)
    from ferrule.web.app import create_app
    from ferrule.web.models import follow_model

    follower = follow_model(which, name=name, root=Path.cwd(), precision="int8" if int8 else "float32")
    app = create_app(follower, limits=Limits(rate=rate or (RATE if token else None)), access=access, abstain=abstain)
    click.echo(f"{address_of(listening)}  page and REST ({follower.model.title})")
    click.echo("Ctrl-C stops it.")
    run_server(app, listening, log_requests=log)
