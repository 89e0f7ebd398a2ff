"""HEAR: one batch step of the detector and one of the recogniser, over all sessions that have sound to hear.

Both steps have a fixed shape for each session, a frame of 32 ms and a chunk of the recogniser, so that the sums of a
stream do not depend on how its bytes were cut. For a direct model the states of each frame go with its label. It knows
tensors and rows. It does not know words or segments.
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
from streamtrans.engine.listener import Listener
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

    def listener(self, row: int, rate: int) -> Listener:
        """Of a new session, on a clean row. Raises AudioError bad_rate."""
        return Listener(row, rate, self.config, self._decoding.words, self._states)

    def step(self, listeners: Sequence[Listener]) -> None:
        """A frame of each that has one to score, then a chunk of each that has one due."""
        framed = [(one, frame) for one in listeners if (frame := one.frame) is not None]
        if framed:
            if anew := [one for one, _ in framed if one.begins_anew()]:
                self._detected.reset(self._rows(anew))
            scores = self._score(self._rows([one for one, _ in framed]), [f for _, f in framed])
            for (one, _), score in zip(framed, scores, strict=True):
                one.scored(score)
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
        self._label(rows, [np.zeros(HOP * self.config.stride, np.float32)] * count)
        self.reset(rows)

    def reset(self, rows: Tensor) -> None:
        """Make rows new."""
        self._detected.reset(rows)
        self._heard.reset(rows)

    def _score(self, rows: Tensor, frames: list[Samples]) -> list[float]:
        scores, state = self._detector.step(self._stack(frames), self._detected.take(rows))
        self._detected.put(rows, state)
        return scores[:, 0].tolist()

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
