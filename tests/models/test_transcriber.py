"""Samples to words: any cutting of a stream gives what features, recogniser and words give for the whole."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from fakes import spoken_vocabulary as vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtrans.audio.features import LogMel
from streamtrans.audio.pcm import Samples
from streamtrans.models.ctc import CTCWords, HeardWord
from streamtrans.models.recognizer import Recognizer, RecognizerConfig, best
from streamtrans.models.transcriber import Transcriber

CONFIG = RecognizerConfig(
    name="toy", language="en", vocabulary=60, mels=8, subsampling=4, dim=16, heads=2, hidden=16, layers=2,
    kernel=3, window=12, chunk=2, ahead=1, piece=8,
)  # fmt: skip


@functools.cache
def recognizer() -> Recognizer:
    """Random weights, loud enough that what is heard changes often."""
    torch.manual_seed(3)
    made = Recognizer(CONFIG).double().eval().requires_grad_(False)
    made.normalization.mean.fill_(-5)
    torch.nn.init.normal_(made.output.weight)
    return made


@functools.cache
def sound(seed: int = 0, seconds: float = 3.0) -> Samples:
    """Noise whose loudness and colour change every 50 ms."""
    rng = np.random.default_rng(seed)
    parts = [
        np.convolve(rng.normal(0, 10 ** rng.uniform(-3, -1), 807), rng.normal(size=8))[7:807]
        for _ in range(int(seconds * 20))
    ]
    return np.concatenate(parts).clip(-1, 1).astype(np.float32)


def wholly(samples: Samples) -> list[HeardWord]:
    """Offline: one forward of each part, silence behind the samples."""
    mel = LogMel(CONFIG.mels).double()
    frames = len(samples) // 160
    behind = 160 * (frames + CONFIG.tail(frames)) - len(samples)
    padded = torch.from_numpy(np.pad(samples, (0, behind))).double()[None]
    logits = recognizer()(mel(padded))
    words = CTCWords(vocabulary(), CONFIG, "en")
    return words.feed(best(logits[0]).tolist()) + words.flush()


def cut(samples: Samples, sizes: Sequence[int]) -> list[Samples]:
    return np.split(samples, np.cumsum(sizes)[np.cumsum(sizes) < len(samples)])


def test_it_hears_what_the_parts_hear_offline() -> None:
    transcriber = Transcriber(recognizer(), vocabulary())
    words = transcriber.feed(sound()) + transcriber.end()
    assert words == wholly(sound()) and len(words) > 5


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9_000), min_size=40, max_size=60), st.integers(1, 48_000))
def test_any_cutting_gives_the_same_words(sizes: list[int], length: int) -> None:
    samples = sound()[:length]
    transcriber = Transcriber(recognizer(), vocabulary())
    words = [word for piece in cut(samples, sizes) for word in transcriber.feed(piece)]
    assert words + transcriber.end() == wholly(samples)


def test_two_streams_do_not_hear_each_other() -> None:
    one, other = (Transcriber(recognizer(), vocabulary()) for _ in range(2))
    heard: list[HeardWord] = []
    for piece in cut(sound(), [1600] * 40):
        heard += one.feed(piece)
        other.feed(sound(1)[: 3 * len(piece)])
    assert heard + one.end() == wholly(sound())


def test_words_come_while_the_stream_goes_on() -> None:
    """What is committed after some of the stream is the beginning of what is committed in the end, and no word waits
    longer than the encoder's latency and the frame it is in.
    """
    transcriber, clock = Transcriber(recognizer(), vocabulary()), 0
    heard: list[HeardWord] = []
    for piece in cut(sound(), [160] * 300):
        words = transcriber.feed(piece)
        clock += 10
        assert all(clock - word.end <= CONFIG.latency for word in words)
        heard += words
    whole = wholly(sound())
    assert heard == whole[: len(heard)] and 5 < len(heard)


def test_half_precision_hears_something() -> None:
    """There is no Fourier transform in bfloat16 on the CPU."""
    made = Recognizer(CONFIG)
    made.load_state_dict(recognizer().state_dict())
    transcriber = Transcriber(made.bfloat16().eval(), vocabulary())
    assert transcriber.feed(sound()) + transcriber.end()
