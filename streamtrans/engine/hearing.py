"""HEAR: one batch step of the detector and one of the recogniser, over all sessions that have sound to hear.

A step takes a chunk of the recogniser or up to four frames of 32 ms of each session. The network of a frame does not
see the others beside it, so a stream is heard alike however its bytes were cut. For a direct model the states of each
frame go with its label. It knows tensors and rows. It does not know words or segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamtrans.audio.features import HOP, LogMel
from streamtrans.audio.pcm import Samples
from streamtrans.audio.speech_detector import FRAME, DetectorState, SpeechDetector
from streamtrans.engine.listener import FRAMES, Listener
from streamtrans.models.decoding import decoding
from streamtrans.models.piece_states import States, evidence
from streamtrans.models.recognizer import Recognizer
from streamtrans.models.speech_encoder import SpeechEncoderState
from streamtrans.nn.streaming import State
from streamtrans.nn.windows import Past
from streamtrans.text.vocabulary import Vocabulary


@dataclass
class HeardState(State):
    """samples: of the features; encoder: of the recogniser. Both begin anew with each segment."""

    samples: Past
    encoder: SpeechEncoderState


class Hearing:
    """Detector, features and recogniser, and a pool of `size` rows of their states.

    detector: None takes the embedded one. direct: the states are wanted, too.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        vocabulary: Vocabulary,
        size: int,
        detector: SpeechDetector | None = None,
        direct: bool = False,
    ) -> None:
        self.config = recognizer.config
        self._states = self.config.dim if direct else 0
        self._recognizer = recognizer
        self._decoding = decoding(recognizer, vocabulary, direct)
        self._device, self._dtype = recognizer.place()
        exact = torch.promote_types(self._dtype, torch.float32)  # no spectrum in half precision
        self._detector = (detector or SpeechDetector.load()).to(self._device, exact)
        self._features = LogMel(self.config.mels).to(self._device, exact)
        self._detected: DetectorState = self._detector.init_state(size)
        self._heard = HeardState(self._features.init_state(size), recognizer.init_state(size))

    def listener(self, row: int, rate: int, pause: int | None = None) -> Listener:
        """Of a new session, on a clean row. Raises AudioError bad_rate, bad_pause."""
        return Listener(row, rate, self.config, self._decoding.words, self._states, pause)

    def step(self, listeners: Sequence[Listener]) -> None:
        """Some frames of each that has any to score, then a chunk of each that has one due."""
        framed = [(one, frames) for one in listeners if (frames := one.frames) is not None]
        if framed:
            if anew := [one for one, _ in framed if one.begins_anew()]:
                self._detected.reset(self._rows(anew))
            scores = self._score(self._rows([one for one, _ in framed]), [f for _, f in framed])
            for (one, frames), row in zip(framed, scores, strict=True):
                one.scored(row[: len(frames) // FRAME])
        due = [(one, chunk) for one in listeners if (chunk := one.chunk) is not None]
        if due:
            if fresh := [one for one, chunk in due if chunk.first]:
                self._heard.reset(self._rows(fresh))
            heard = self._label(self._rows([one for one, _ in due]), [c.samples for _, c in due])
            for (one, _), (labels, frames) in zip(due, heard, strict=True):
                one.labelled(labels, frames)

    def warm(self, count: int) -> None:
        """Each step once, for so many rows at a time: silence alone would never come to the recogniser. All rows must
        be free.
        """
        rows = torch.arange(count, device=self._device)
        self._score(rows, [np.zeros(FRAME, np.float32)] * count)
        self._score(rows, [np.zeros(FRAMES * FRAME, np.float32)] * count)
        self._score(rows, [np.zeros((1 + i % FRAMES) * FRAME, np.float32) for i in range(count)])
        self._label(rows, [np.zeros(HOP * self.config.stride, np.float32)] * count)
        self.reset(rows)

    def reset(self, rows: Tensor) -> None:
        """Make rows new."""
        self._detected.reset(rows)
        self._heard.reset(rows)

    def _score(self, rows: Tensor, frames: list[Samples]) -> list[list[float]]:
        """Scores of each row; of a row with fewer frames than another the last ones mean nothing."""
        sizes = [len(some) for some in frames]
        longest = max(sizes)
        lengths = None
        if min(sizes) < longest:
            frames = [np.pad(some, (0, longest - len(some))) for some in frames]
            lengths = torch.tensor(sizes, device=self._device)
        scores, state = self._detector.step(self._stack(frames), self._detected.take(rows), lengths)
        self._detected.put(rows, state)
        return scores.tolist()

    def _label(
        self, rows: Tensor, chunks: list[Samples]
    ) -> Iterable[tuple[Sequence[Any], States | None]]:
        state = self._heard.take(rows)
        mel, samples = self._features.step(self._stack(chunks), state.samples)
        states, encoder = self._recognizer.encode_step(mel.to(self._dtype), state.encoder)
        self._heard.put(rows, HeardState(samples, encoder))
        logits = self._recognizer.output(states)
        frames = evidence(states, logits) if self._states else repeat(None)
        return zip(self._decoding.labels(logits), frames, strict=False)

    def _stack(self, samples: list[Samples]) -> Tensor:
        device, dtype = self._features.place()
        return torch.from_numpy(np.stack(samples)).to(device, dtype)

    def _rows(self, listeners: Sequence[Listener]) -> Tensor:
        return torch.tensor([one.row for one in listeners], device=self._device)
