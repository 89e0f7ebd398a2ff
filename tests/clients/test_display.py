"""Words and lags on a terminal and in a plain file."""

from __future__ import annotations

import io
import re

from rich.console import Console
from streamtrans_clients.display import Display
from streamtrans_clients.file import Timed
from streamtrans_clients.summary import Summary

from streamtrans.messages import Segment, Source, Target

ITEMS = [
    Timed(Source(1, "The", 0, 1000.0), 1.0, 1.002),
    Timed(Source(2, "cat.", 1, 2000.0), 2.0, 2.002),
    Timed(Target(3, "Le", 0, 2, 2000.0), 2.0, 2.0124),
    Timed(Target(4, "chat.", 1, 2, 2000.0), 2.0, 2.021),
    Segment(5, 2, 2),
    Timed(Source(6, "[bold]\x1b[2J", 2, 3000.0), 3.0, 3.001),
    Timed(Target(7, "[/oui]", 2, 3, 3000.0), 3.0, 3.007),
]
SUMMARY = Summary(3, 3, 1012.4, 1.5, 1.25, 12.4, None)


def shown(terminal: bool, summary: Summary = SUMMARY) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=70, color_system=None)
    with Display(console, "en", "fr") as display:
        for item in ITEMS:
            display.show(item)
        display.finish(summary)
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
            display.show(Timed(Source(index + 1, "word", index, 0.0), 0.0, 0.0))
    assert file.getvalue() == "en  " + " ".join(["word"] * 50) + "\nfr  \n"


def table(summary: Summary) -> dict[str, str]:
    lines = shown(terminal=False, summary=summary).split("\n\n")[1].splitlines()
    return dict(re.split(r"  +", line.strip(), maxsplit=1) for line in lines)


def test_the_table_ends_it() -> None:
    assert table(SUMMARY) == {
        "words, source / target": "3 / 3",
        "first word after": "1012 ms",
        "AL": "1.50 words",
        "LAAL": "1.25 words",
        "lag (computation-aware), median": "12.4 ms",
        "lag (computation-aware), 95 %": "-",
    }


def test_of_speech_the_table_is_in_ms_of_sound() -> None:
    assert table(Summary(3, 3, 1012.4, 1504.4, 1253.6, 612.4, 700.0, spoken=True)) == {
        "words, source / target": "3 / 3",
        "first word after": "1012 ms",
        "AL": "1504 ms",
        "LAAL": "1254 ms",
        "lag behind the spoken word, median": "612.4 ms",
        "lag behind the spoken word, 95 %": "700.0 ms",
    }


def test_on_a_terminal_each_word_stands_above_its_lag() -> None:
    seen = shown(terminal=True)
    words = seen.index("Le    chat.")
    assert 0 < seen.index("12 ms 21 ms") - words < 100
    assert "\x1b[2J" not in seen
