"""When the sound of a word went out."""

from __future__ import annotations

import pytest
from streamtrans_clients.sound_clock import SoundClock

from streamtrans.messages import Source


def word(index: int, begin: float | None, end: float | None, at: float = 0.0) -> Source:
    return Source(index + 1, "w", index, at, begin, end)


def test_a_word_went_out_with_the_piece_it_ends_in() -> None:
    clock = SoundClock(16_000)
    for number in range(1, 6):
        clock.sent(bytes(3200), float(number))  # 100 ms each
    clock.read(word(0, 20.0, 90.0))
    clock.read(word(1, 90.0, 200.0))
    clock.read(word(2, 210.0, 300.03))  # a time is rounded to less than a sample
    clock.read(word(3, 310.0, 320.0))
    clock.read(word(4, None, None, at=480.0))
    assert [clock.of(number) for number in range(1, 6)] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert (clock.of(0), clock.of(9)) == (1.0, 5.0)


def test_what_is_behind_a_word_is_not_kept() -> None:
    clock = SoundClock(8000)
    for number in range(1000):
        clock.sent(bytes(1600), float(number))
        clock.read(word(number, 100.0 * number, 100.0 * number + 60))
    assert clock.of(1000) == 999.0
    assert len(clock._pieces) <= 2


def test_a_word_before_any_sound_is_a_wrong_word() -> None:
    with pytest.raises(ValueError, match="no sound was sent"):
        SoundClock(16_000).read(word(0, 0.0, 10.0))
    with pytest.raises(ValueError, match="no source word"):
        SoundClock(16_000).of(1)
