"""Text comes at its pace, to the last character, from a string, a pipe or a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scripted_server import in_loop
from streamtrans_clients import source_words
from streamtrans_clients.pieces import PIECE, at_once, paced, typed
from streamtrans_clients.word_clock import WordClock

from streamtrans.text import source
from streamtrans.text.source import Words


class Clock:
    """Time that passes only by sleeping, and by `work` in between."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def all_of(pieces: AsyncIterator[str]) -> list[str]:
    return [piece async for piece in pieces]


@in_loop
async def test_words_keep_their_white_space_and_come_on_an_absolute_schedule() -> None:
    """A word that was 0.4 s late does not make the next one late: no drift in an hour."""
    clock = Clock()
    times = []
    async for piece in paced("\n one  two\n\nthree four", 2.0, clock, clock.sleep):
        times.append((piece, round(clock.now - 100, 6)))
        if piece.startswith("two"):
            clock.now += 0.9
    assert times == [("\n ", 0), ("one  ", 0), ("two\n\n", 0.5), ("three ", 1.4), ("four", 1.5)]


@in_loop
async def test_chinese_comes_by_characters() -> None:
    pieces = [piece async for piece in paced("天气好。\nTom来", 1e6)]
    assert pieces == ["天", "气", "好", "。\n", "Tom", "来"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="a3中文。，” \n", max_size=6), max_size=12))
@example(["中", "。", "”文a"])
def test_the_clock_counts_words_as_the_engine_does(pieces: list[str]) -> None:
    """Also when each went out: with what shows that it is whole."""
    clock, typed, times = WordClock(), Words(), []
    for now, piece in enumerate(pieces):
        clock.sent(piece, now)
        times += [now for word in typed.feed(piece) if word]
    clock.cut(len(pieces))
    times += [len(pieces) for word in typed.flush() if word]
    assert clock._times == times


def test_a_word_is_to_clients_what_it_is_to_the_engine() -> None:
    assert source_words.WORD == source.WORD
    text = "他说：“Tom 3点来。”Go on.我走了！"
    assert source_words.sentence(source.words(text)) == "他说：“Tom 3点来。” Go on.我走了！"
    assert source_words.sentence(["Go", "on."]) == "Go on."


@in_loop
async def test_a_pace_must_be_positive() -> None:
    with pytest.raises(ValueError, match="pace 0"):
        await all_of(paced("a", 0))


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="ab \n\té", max_size=60))
def test_nothing_is_lost(text: str) -> None:
    clock = Clock()
    assert "".join(asyncio.run(all_of(paced(text, 3, clock, clock.sleep)))) == text
    assert len(clock.slept) <= max(len(text.split()) - 1, 0)


@in_loop
async def test_long_text_is_cut_into_pieces_a_server_takes() -> None:
    text = "é" * (2 * PIECE + 1)
    assert [len(piece) for piece in await all_of(at_once(text))] == [PIECE, PIECE, 1]
    assert [len(piece) for piece in await all_of(paced(text, 1))] == [PIECE, PIECE, 1]


@in_loop
async def test_typing_comes_as_it_is_typed_even_half_a_letter() -> None:
    end, hands = os.pipe()
    try:
        pieces = typed(end)
        os.write(hands, b"caf" + b"\xc3")
        assert await anext(pieces) == "caf"
        os.write(hands, b"\xa9 ")
        assert await anext(pieces) == "é "
        os.close(hands)
        assert await all_of(pieces) == []
    finally:
        os.close(end)


@in_loop
async def test_a_plain_file_as_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("one two\n" * 1000)
    with path.open("rb") as file:
        assert "".join(await all_of(typed(file.fileno()))) == "one two\n" * 1000


@in_loop
async def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"one \xff")
    with path.open("rb") as file, pytest.raises(UnicodeDecodeError):
        await all_of(typed(file.fileno()))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="ab \n", max_size=6), max_size=12))
def test_the_clock_counts_the_words_of_the_text_however_it_is_cut(pieces: list[str]) -> None:
    clock = WordClock()
    for now, piece in enumerate(pieces):
        clock.sent(piece, now)
    clock.cut(len(pieces))
    words = len("".join(pieces).split())
    assert len(clock._times) == words
    if words:
        assert clock.of(words + 5) == clock.of(words) >= clock.of(1)
    else:
        with pytest.raises(ValueError, match="no source word"):
            clock.of(1)


def test_a_word_goes_out_with_the_white_space_that_completes_it() -> None:
    clock = WordClock()
    for now, piece in enumerate(["st", "ream", " a b", "\n"]):
        clock.sent(piece, now)
    assert [clock.of(number) for number in (1, 2, 3)] == [2, 2, 3]
