"""Drafts: what sessions would write next if nothing more were READ, beside what is committed.

A draft is greedy and made in copies of rows of the state pool, one decoder step at a time, so that other work never
waits for more than a step; no row of a session is changed. It knows sessions and pieces. It does not know when a draft
is wanted, nor what becomes of it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from streamtrans.engine.session import Session
from streamtrans.engine.slots import Slots
from streamtrans.messages import Draft
from streamtrans.models.model import Model, ModelState
from streamtrans.models.search import NEVER
from streamtrans.text.target import Detokenizer
from streamtrans.text.vocabulary import Vocabulary

MOST = 16  # sessions drafted at once
PIECES = 16  # of a draft's target at most
log = logging.getLogger(__name__)


class Sketch:
    """The target of one draft as it grows, from where its session stands now."""

    def __init__(self, session: Session, language: str) -> None:
        self.session = session
        self.previous = session.previous
        self.left = min(PIECES, session.foreseeable)
        self._seq = session.seq
        self._words: list[str] = []
        self._detokenizer = Detokenizer(session.vocabulary, language)
        self._detokenizer.pieces = session.begun

    @property
    def holds(self) -> bool:
        """Does the session still stand where it stood?"""
        return not self.session.closed and self.session.seq == self._seq

    def wrote(self, piece: int) -> None:
        """Take the next piece. Half a word at the last one allowed is not shown."""
        self.previous, self.left = piece, self.left - 1
        if piece == Vocabulary.eos:
            self.left = 0
            word = self._detokenizer.flush()
        else:
            word = self._detokenizer.feed(piece)
        if word is not None:
            self._words.append(word)

    def draft(self) -> Draft:
        """With what is heard by now."""
        return Draft(self.session.heard, tuple(self._words))


class Drafts:
    """`ask` for sessions, then `step` while `going` and nothing else is to do.

    skip: spare rows of `slots` that are others'.
    """

    def __init__(self, model: Model, slots: Slots, vocabulary: Vocabulary, skip: int) -> None:
        self._model, self._slots, self._skip = model, slots, skip
        self._device = model.embedding.weight.device
        self._never = torch.tensor(NEVER, device=self._device)
        self._asked: dict[Session, None] = {}
        self._sketches: list[Sketch] = []
        self._state: ModelState | None = None  # a row for each sketch

    @staticmethod
    def spare(max_sessions: int) -> int:
        """Spare rows it needs in the pool."""
        return min(MOST, max_sessions)

    @property
    def going(self) -> bool:
        """Is there a draft to work on?"""
        return bool(self._asked or self._sketches)

    def ask(self, session: Session) -> None:
        """A draft of where the session stands when its turn comes; there is none if it goes on before it is made."""
        self._asked[session] = None

    @torch.inference_mode()
    def step(self) -> list[tuple[Session, Draft]]:
        """Begin, or one decoder step; what is done. Drafts that fail are forgotten, no session is."""
        try:
            self._keep([i for i, sketch in enumerate(self._sketches) if sketch.holds])
            done = self._go_on() if self._sketches else self._begin()
            return [(sketch.session, sketch.draft()) for sketch in done]
        except Exception:
            log.exception("drafts of %d sessions failed", len(self._sketches))
            self._sketches, self._state = [], None
            return []

    def _begin(self) -> list[Sketch]:
        """Those whose target is empty are done at once."""
        some = list(self._asked)[: self.spare(self._slots.size)]
        for session in some:
            del self._asked[session]
        sketches = [Sketch(s, self._model.config.target) for s in some if not s.closed]
        self._sketches = [sketch for sketch in sketches if sketch.left]
        if self._sketches:
            rows = self._tensor([sketch.session.slot for sketch in self._sketches])
            self._state = self._slots.copies(rows, 1, self._skip)
        return [sketch for sketch in sketches if not sketch.left]

    def _go_on(self) -> list[Sketch]:
        assert self._state is not None
        previous = self._tensor([sketch.previous for sketch in self._sketches])
        logits, _, self._state = self._model.write(previous, self._state)
        pieces: list[int] = logits.index_fill_(1, self._never, -torch.inf).argmax(1).tolist()
        for sketch, piece in zip(self._sketches, pieces, strict=True):
            sketch.wrote(piece)
        done = [sketch for sketch in self._sketches if not sketch.left]
        self._keep([i for i, sketch in enumerate(self._sketches) if sketch.left])
        return done

    def _keep(self, some: Sequence[int]) -> None:
        """The others are done, or overtaken by their sessions."""
        if len(some) == len(self._sketches):
            return
        assert self._state is not None
        self._sketches = [self._sketches[i] for i in some]
        self._state = self._state.take(self._tensor(some)) if some else None

    def _tensor(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)
