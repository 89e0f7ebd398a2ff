"""The live beam: a search among the words that may be committed before the next READ.

A committed word is never revised, so the beam begins anew at each READ, from what is committed. It plans pieces and
leaves no trace in the state of a session: the WRITE steps that follow write what is planned, one piece a step. It does
not know policies or events.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from streamtrans.engine.session import Session
from streamtrans.engine.slots import Slots
from streamtrans.models.model import Model
from streamtrans.models.search import search
from streamtrans.text.target import WORD_PIECES
from streamtrans.text.vocabulary import Vocabulary

MOST = 32  # sessions searched at once


class Beam:
    """Plans for sessions of one engine. width: hypotheses a session."""

    def __init__(self, model: Model, slots: Slots, vocabulary: Vocabulary, width: int) -> None:
        self.width = width
        self._model, self._slots = model, slots
        self._device = model.embedding.weight.device
        self._ends_word = torch.tensor(vocabulary.ends_word, device=self._device)

    @staticmethod
    def spare(width: int, max_batch: int) -> int:
        """Spare rows it needs in the pool. Raises ValueError for a width below 1."""
        if width < 1:
            raise ValueError(f"beam must be at least 1, not {width}")
        return width * min(MOST, max_batch) if width > 1 else 0

    def plan(self, sessions: Sequence[Session]) -> None:
        """Choose what each session writes next: the words its policy allows, and all that is left after the end."""
        for start in range(0, len(sessions), MOST):
            some = sessions[start : start + MOST]
            for session, pieces in zip(some, self._search(some), strict=True):
                session.planned.extend(pieces)

    def _search(self, sessions: Sequence[Session]) -> list[list[int]]:
        words = [session.words_allowed for session in sessions]
        limits = [
            WORD_PIECES * count if count else session.pieces_allowed
            for session, count in zip(sessions, words, strict=True)
        ]
        state = self._slots.copies(self._tensor([s.slot for s in sessions]), self.width)
        return search(
            self._model,
            state,
            self._tensor([s.previous for s in sessions]),
            self._tensor(limits),
            self.width,
            words=self._tensor(words),
            ends_word=self._ends_word,
        )

    def _tensor(self, values: list[int]) -> torch.Tensor:
        return torch.tensor(values, device=self._device)
