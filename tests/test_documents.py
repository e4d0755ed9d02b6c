"""Writing between two marks of a document."""

import pytest

from ferrule.documents import say_spread, write_between
from ferrule.errors import WorkflowError


def test_only_what_is_between_the_marks_changes(tmp_path):
    document = tmp_path / "page.md"
    document.write_text("before\n<begin>\nold\n<end>\nafter <end>\n")
    for _ in range(2):
        write_between(document, "<begin>", "<end>", "| new |")
        assert document.read_text() == "before\n<begin>\n\n| new |\n\n<end>\nafter <end>\n"


@pytest.mark.parametrize("text", [None, "", "<begin>", "<end> <begin>"])
def test_missing_marks_are_one_sentence_and_change_nothing(text, tmp_path):
    document = tmp_path / "page.md"
    if text is not None:
        document.write_text(text)
    with pytest.raises(WorkflowError, match="add them where the table belongs"):
        write_between(document, "<begin>", "<end>", "new")
    assert document.exists() == (text is not None)
    assert text is None or document.read_text() == text


def test_a_spread_is_said_where_there_is_one():
    assert say_spread([0.6, 0.62]) == "61.0% ± 1.4"
    assert say_spread([0.625]) == "62.5%"
