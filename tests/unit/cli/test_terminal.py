"""Nothing from outside acts on the terminal: escape sequences, bells, carriage returns, changed direction."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from scorer.cli import terminal
from scorer.printable import printable, printable_lines

HOSTILE = (
    "a\x1b[31mred\x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x9b2J\rover\x08\x00\u202egnp.exe\u2066\u2029\x7f\x85end"
)
FORBIDDEN = set("\x1b\x07\x9b\r\x08\x00\u202e\u2066\u2029\x7f\x85")


@given(st.text())
def test_no_text_keeps_what_a_terminal_acts_on(text: str) -> None:
    assert all(c.isprintable() or c in "\n\t" for c in printable_lines(text))
    assert len(printable_lines(text)) == len(text)
    assert printable(text).isprintable()
    assert printable_lines(printable_lines(text)) == printable_lines(text)


@pytest.mark.parametrize("text", ["plain", "", "Übergröße €", "two\nlines\twith a tab", "日本語"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable_lines(text) == text


def _table(text: str) -> Table:
    table = Table("column", title=Text(text))
    table.add_row(Text(text))
    table.add_row(escape(text))
    return table


@pytest.mark.parametrize("make", [str, escape, Text, _table, lambda text: Panel(Text(text))])
def test_a_console_prints_harmless_text(make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.console().print(make(HOSTILE), markup=False)
    printed = capsys.readouterr().out
    assert not FORBIDDEN & set(printed)
    assert "red" in printed
    assert "end" in printed


def test_lines_are_harmless_and_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(f"one\n{HOSTILE}\ttab")
    terminal.say(HOSTILE, err=True)
    printed = capsys.readouterr()
    assert not FORBIDDEN & set(printed.out + printed.err)
    assert printed.out.startswith("one\na ")
    assert "\ttab\n" in printed.out


SCORED = "user,qscore\n=cmd|' /C calc'!A0,0.5\n\x1b[2Jme,0.6\n"


def test_scores_reach_a_file_as_they_are_and_a_terminal_harmless(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"from scorer.cli import terminal; terminal.data({SCORED.encode()!r})"]
    piped = subprocess.run(command, capture_output=True, check=True)
    assert piped.stdout == SCORED.encode()
    ours, theirs = pty.openpty()
    try:
        subprocess.run(command, stdout=theirs, check=True)
        shown = os.read(ours, 4096)
    finally:
        os.close(ours)
        os.close(theirs)
    assert shown.replace(b"\r\n", b"\n") == SCORED.replace("\x1b", " ").encode()


def test_colours_are_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = terminal.console()
    console.file = io.StringIO()
    console.print(Text("x\x1b[31my", style="bold"))
    assert "\x1b[1m" in console.file.getvalue()
    assert "\x1b[31m" not in console.file.getvalue()
