"""Words and lags on a terminal and in a plain file."""

from __future__ import annotations

import io
import re

from rich.console import Console
from streamtrans_clients.display import Display
from streamtrans_clients.file import Timed
from streamtrans_clients.summary import Summary

from streamtrans.messages import Segment

ITEMS = [
    Timed("source", "The", 0, 1, 1.0, 1.002),
    Timed("source", "cat.", 1, 2, 2.0, 2.002),
    Timed("target", "Le", 0, 2, 2.0, 2.0124),
    Timed("target", "chat.", 1, 2, 2.0, 2.021),
    Segment(5, 2, 2),
    Timed("source", "[bold]\x1b[2J", 2, 3, 3.0, 3.001),
    Timed("target", "[/oui]", 2, 3, 3.0, 3.007),
]
SUMMARY = Summary(3, 3, 1012.4, 1.5, 1.25, 12.4, None)


def shown(terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=70, color_system=None)
    with Display(console, "en", "fr") as display:
        for item in ITEMS:
            display.show(item)
        display.finish(SUMMARY)
    return file.getvalue()


def test_without_a_terminal_there_are_plain_lines() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines[:4] == [
        "en  The cat.",
        "fr  Le [12] chat. [21]",
        "en  [bold]\ufffd[2J",
        "fr  [/oui] [7]",
    ]
    assert "\x1b" not in "".join(lines)


def test_a_long_segment_stays_one_line_without_a_terminal() -> None:
    file = io.StringIO()
    with Display(Console(file=file, width=20), "en", "fr") as display:
        for index in range(50):
            display.show(Timed("source", "word", index, index + 1, 0.0, 0.0))
    assert file.getvalue() == "en  " + " ".join(["word"] * 50) + "\nfr  \n"


def test_the_table_ends_it() -> None:
    table = shown(terminal=False).split("\n\n")[1]
    rows = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in table.splitlines())
    assert rows == {
        "words, source / target": "3 / 3",
        "first word after": "1012 ms",
        "AL": "1.50 words",
        "LAAL": "1.25 words",
        "lag (computation-aware), median": "12.4 ms",
        "lag (computation-aware), 95 %": "-",
    }


def test_on_a_terminal_each_word_stands_above_its_lag() -> None:
    seen = shown(terminal=True)
    words = seen.index("Le    chat.")
    assert 0 < seen.index("12 ms 21 ms") - words < 100
    assert "\x1b[2J" not in seen
