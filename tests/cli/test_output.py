"""What is printed is what was given: no emoji for colons, nothing that a terminal obeys."""

from __future__ import annotations

import pytest

from neggen.cli.output import fail, print_table, say

HOSTILE = "urn:book:1 [red] \x1b]0;owned\x07\x1b[2J"
SHOWN = r"urn:book:1 [red] \x1b]0;owned\x07\x1b[2J"


def test_ids_and_titles_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"{HOSTILE}\nnext line")
    fail(HOSTILE)
    print_table(["item"], [[HOSTILE]], title=HOSTILE)
    out, err = capsys.readouterr()
    assert err == f"{SHOWN}\nnext line\nError: {SHOWN}\n"
    assert out.count(SHOWN) == 2
