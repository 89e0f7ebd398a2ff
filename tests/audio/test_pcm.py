"""Bytes to samples: any cutting, odd counts, loud, silent and broken samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtrans.audio.errors import AudioError
from streamtrans.audio.pcm import PCMDecoder


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """`data` in pieces, cut at these places."""
    places = [0, *sorted(min(a, len(data)) for a in at), len(data)]
    return [data[a:b] for a, b in zip(places, places[1:], strict=False)]


def test_integers_are_scaled_by_full_scale() -> None:
    data = np.array([0, 1, -1, 16384, 32767, -32768], "<i2").tobytes()
    expected = [0, 1 / 32768, -1 / 32768, 0.5, 32767 / 32768, -1]
    samples = PCMDecoder().feed(data)
    assert samples.dtype == np.float32
    assert samples.tolist() == expected


@given(
    values=st.lists(st.integers(-32768, 32767), max_size=30),
    at=st.lists(st.integers(0, 60), max_size=8),
    encoding=st.sampled_from(["s16le", "f32le"]),
)
def test_any_cutting_gives_the_whole(values: list[int], at: list[int], encoding: str) -> None:
    """Also one byte at a time: a websocket message may end within a sample."""
    samples = np.array(values, np.float32) / 32768
    data = (samples if encoding == "f32le" else np.array(values, "<i2")).tobytes()
    decoder = PCMDecoder(encoding)
    pieces = [decoder.feed(piece) for piece in cut(data, at)]
    decoder.end()
    assert np.concatenate(pieces).tolist() == samples.tolist()


def test_a_stream_that_ends_within_a_sample_is_named() -> None:
    """The whole samples came out before; the decoder is then new."""
    decoder = PCMDecoder()
    assert len(decoder.feed(b"\0\0\0")) == 1
    with pytest.raises(AudioError, match="half_sample: the stream ends 1 of 2 bytes"):
        decoder.end()
    decoder.end()
    assert decoder.feed(b"\0\x40").tolist() == [0.5]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_and_leave_no_trace(bad: float) -> None:
    decoder = PCMDecoder("f32le")
    whole = np.array([0.25, bad, 0.5], "<f4").tobytes()
    with pytest.raises(AudioError, match="bad_samples: NaN or infinite"):
        decoder.feed(whole)
    good = np.array([0.25, -0.5], "<f4").tobytes()
    assert decoder.feed(good[:5]).tolist() == [0.25]
    with pytest.raises(AudioError):
        decoder.feed(good[5:] + whole)
    assert decoder.feed(good[5:]).tolist() == [-0.5]


def test_too_loud_is_clipped_and_counted() -> None:
    decoder = PCMDecoder("f32le")
    assert decoder.feed(np.array([1.5, -3, 1, -1, 0.1], "<f4").tobytes())[:4].tolist() == [
        1,
        -1,
        1,
        -1,
    ]
    assert decoder.clipped == 2


def test_integers_sent_as_floats_are_named() -> None:
    """A common mistake; clipped it would be noise that nobody can explain."""
    with pytest.raises(
        AudioError, match="bad_samples: a sample of 12000; full scale of f32le is 1"
    ):
        PCMDecoder("f32le").feed(np.array([12000.0], "<f4").tobytes())


def test_silence_is_zeros_and_nothing_is_nothing() -> None:
    decoder = PCMDecoder()
    assert not decoder.feed(bytes(640)).any()
    assert decoder.feed(b"").shape == (0,)


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(
        AudioError, match="bad_encoding: 'mp3' is not known; use one of s16le, f32le"
    ):
        PCMDecoder("mp3")
