"""The newest samples of a stream, by their place in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtrans.audio.buffer import SampleBuffer


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=20))
def test_it_keeps_what_is_not_forgotten_in_its_place(moves: list[tuple[int, int]]) -> None:
    buffer, whole = SampleBuffer(), np.zeros(0, np.float32)
    for count, behind in moves:
        new = np.arange(len(whole), len(whole) + count, dtype=np.float32)
        buffer.append(new)
        whole = np.append(whole, new)
        forgotten = max(buffer.begin, len(whole) - behind)
        buffer.forget(len(whole) - behind)
        assert (buffer.begin, buffer.end) == (forgotten, len(whole))
        assert np.array_equal(buffer.between(buffer.begin, buffer.end), whole[forgotten:])


def test_what_is_not_there_is_named() -> None:
    buffer = SampleBuffer()
    buffer.append(np.zeros(10, np.float32))
    buffer.forget(4)
    for begin, end in ((3, 5), (8, 11), (6, 5)):
        with pytest.raises(IndexError, match=f"{begin} to {end} is not within 4 to 10"):
            buffer.between(begin, end)


def test_forgetting_ahead_of_the_end_keeps_the_place() -> None:
    buffer = SampleBuffer()
    buffer.append(np.zeros(10, np.float32))
    buffer.forget(99)
    buffer.append(np.ones(2, np.float32))
    assert buffer.begin == 10 and buffer.between(10, 12).tolist() == [1, 1]
