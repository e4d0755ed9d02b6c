"""Files that appear whole or not at all."""

import pytest

from ferrule.files import replacing


def test_a_file_appears_when_its_block_ends_well_and_what_was_left_behind_is_written_over(tmp_path):
    path = tmp_path / "new" / "file.txt"
    for content in ("first", "second"):
        with replacing(path) as draft:
            before = path.exists() and path.read_text()
            draft.write_text(content)
            assert (path.exists() and path.read_text()) == before
        assert path.read_text() == content
        draft.write_text("left behind by a killed process, and longer than what comes next")
    with replacing(path) as draft:
        draft.write_text("third")
    assert path.read_text() == "third"
    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "file.txt").write_text("before")

    def write():
        with replacing(tmp_path / "file.txt") as draft:
            draft.write_text("half")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
