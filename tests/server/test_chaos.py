"""The line breaks and the server dies; the reader notices nothing but the time it takes.

A small `python -m bench.chaos`, on the fake engine.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fake_speech import speech

from bench.chaos import Script, Talk, chaos

SCRIPT = Path(__file__).with_name("serve_fake.py")
WORDS = "The cat sat on the mat. It was warm; nobody came. Then it rained and it left. ".split()


def test_cuts_and_kills_leave_no_trace() -> None:
    scripts = [Script(number, [*WORDS[number % 5 :], *WORDS]) for number in range(6)]
    command = [sys.executable, str(SCRIPT), "0"]
    tally = asyncio.run(
        chaos(command, scripts, at_once=6, pause=0.1, between=(0.4, 0.8), mean=1500.0, seed=1)
    )
    assert tally.different == []
    assert tally.runs == 6 and tally.words > 6 * 20
    assert tally.cuts >= 3 and tally.kills >= 1 and tally.replays >= 1


def test_cuts_and_kills_lose_no_sound() -> None:
    """Every word once, at its place in the sound, though the open segment is heard again."""
    text = "one two three. four five six seven. eight nine. ten one two three four five six. "
    talks = [Talk(number, speech(text, 8000), 8000) for number in range(6)]
    command = [sys.executable, str(SCRIPT), "0"]
    tally = asyncio.run(
        chaos(command, talks, at_once=6, pause=0.08, between=(1.5, 2.5), mean=1500.0, seed=2)
    )
    assert tally.different == []
    assert tally.runs == 6 and tally.words >= 6 * 16
    assert tally.cuts >= 3 and tally.kills >= 1 and tally.replays >= 1
