"""The main loop of serving and of evaluating: tick = schedule, run, emit.

The engine owns the sessions, the state pool and the order of work. It has one owner, no thread, no socket and no clock.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby

import torch
from torch.nn.utils.rnn import pad_sequence

from streamtrans.audio.errors import AudioError
from streamtrans.audio.speech_detector import SpeechDetector
from streamtrans.engine.beam import Beam
from streamtrans.engine.drafts import Drafts
from streamtrans.engine.hearing import Hearing
from streamtrans.engine.listener import Listener
from streamtrans.engine.scheduler import Batch, schedule
from streamtrans.engine.session import Session
from streamtrans.engine.slots import Slots
from streamtrans.engine.source_queue import Limits
from streamtrans.engine.source_word import SessionError, Unit
from streamtrans.messages import Command, Event
from streamtrans.models.model import Model
from streamtrans.models.recognizer import Recognizer
from streamtrans.models.search import NEVER
from streamtrans.policy import Action, runnable
from streamtrans.text.vocabulary import Vocabulary

SMALL_READ = 8  # sessions in one READ up to which a second encoder step costs more than padding
log = logging.getLogger(__name__)


class EngineFull(RuntimeError):
    """No slot is free."""


class Engine:
    """Many live sessions over one model.

    max_sessions: slots of the state pool. max_batch: sessions in one tick at most. beam: hypotheses followed among the
    words that may be written before the next READ; 1 is greedy, piece by piece. recognizer: what hears the words of
    sessions of audio, with its vocabulary; detector: what finds speech for it, None takes the embedded one. `drafts`
    are made for who asks, when nothing is `pressing` and no sound is to be heard yet. Raises ValueError: a direct model
    without the recogniser it was trained with.
    """

    def __init__(
        self,
        model: Model,
        vocabulary: Vocabulary,
        max_sessions: int = 64,
        max_batch: int = 128,
        beam: int = 1,
        recognizer: tuple[Recognizer, Vocabulary] | None = None,
        detector: SpeechDetector | None = None,
    ) -> None:
        self.model, self.vocabulary = model.config, vocabulary
        self.default_policy = model.config.policy
        self.max_sessions, self.max_batch = max_sessions, max_batch
        direct = model.config.direct
        if direct and (recognizer is None or recognizer[0].config.dim != model.config.states):
            raise ValueError(f"{model.config.name} READs states of the recogniser it came with")
        self._model = model
        self._device = model.embedding.weight.device
        copies = Beam.spare(beam, max_batch)
        self._slots = Slots(model, max_sessions, copies + Drafts.spare(max_sessions))
        self.drafts = Drafts(model, self._slots, vocabulary, copies)
        self._beam = Beam(model, self._slots, vocabulary, beam) if beam > 1 else None
        self._limits = Limits(model.config.words, model.config.memory)
        self._hearing = Hearing(*recognizer, max_sessions, detector, direct) if recognizer else None
        actions = [Action.READ, Action.WRITE] + [Action.HEAR] * self.hears
        self._ready: dict[Action, dict[Session, int]] = {action: {} for action in actions}
        self._sessions: set[Session] = set()
        self._spoken: dict[Session, None] = {}  # sessions with events that no step caused
        self._ticks = 0
        self.last_batch = 0  # sessions in the last tick
        self.last_action: Action | None = None
        self._never = torch.tensor(NEVER, device=self._device)

    # --- sessions ---------------------------------------------------------------------------------

    def open(
        self,
        policy: str | None = None,
        prefix: Sequence[str] = (),
        rate: int | None = None,
        pause: int | None = None,
    ) -> Session:
        """A new session. Raises EngineFull, PolicyError, and SessionError: a model that cannot stream (offline_model),
        audio where there is no recogniser (no_speech), at a rate or with a pause that is not taken (bad_rate,
        bad_pause), text for a direct model of speech (bad_kind).

        prefix: words of the first segment that are committed already and that it has to write again first. rate:
        samples a second of a session of audio, None for one of text. pause: ms of silence that end a segment of it,
        None for the usual.
        """
        if self.model.offline:
            raise SessionError(
                "offline_model",
                f"{self.model.name} needs whole sentences (bidirectional or reversed source) and cannot serve live",
            )
        if self.model.direct and rate is None:
            raise SessionError(
                "bad_kind", f"{self.model.name} translates speech, not text; send audio"
            )
        chosen = runnable(policy or self.default_policy, self.model.decides)
        if not self._slots.free:
            raise EngineFull(f"all {self.max_sessions} slots are taken")
        listener = self._listener(self._slots.next, rate, pause)
        slot = self._slots.acquire()
        language, decides = self.model.target, self.model.decides
        session = Session(
            slot, chosen, self.vocabulary, language, self._limits, decides, prefix, listener
        )
        self._sessions.add(session)
        return session

    def _listener(self, row: int, rate: int | None, pause: int | None) -> Listener | None:
        if rate is None:
            if pause is not None:
                raise SessionError("bad_pause", "a session of text has no pauses")
            return None
        if self._hearing is None:
            raise SessionError("no_speech", f"{self.model.name} has no recogniser; send text")
        try:
            return self._hearing.listener(row, rate, pause)
        except AudioError as error:
            raise SessionError(error.code, error.text) from error

    def feed(self, session: Session, command: Command) -> None:
        """Give a session source or a command. Raises SessionError and PolicyError, the session unharmed."""
        session.feed(command)
        self.settle(session)

    def adopt(self, session: Session, policy: str) -> None:
        """Change the policy of a session at once, ahead of what it was fed. Raises PolicyError."""
        session.adopt(runnable(policy, self.model.decides))
        self.settle(session)

    def pause(self, session: Session, paused: bool) -> None:
        """Leave a session out of the schedule while its reader is slow."""
        session.paused = paused
        self.settle(session)

    def close(self, session: Session) -> None:
        """End a session at once and free its slot. Closing twice is closing once."""
        session.closed = True
        self._spoken.pop(session, None)
        self._forget(session)

    @property
    def hears(self) -> bool:
        """Can sessions be of audio?"""
        return self._hearing is not None

    @property
    def kinds(self) -> tuple[str, ...]:
        """What sessions can be of: text, audio."""
        return ("text",) * (not self.model.direct) + ("audio",) * self.hears

    @property
    def sessions(self) -> int:
        """How many are open."""
        return len(self._sessions)

    @property
    def ready(self) -> bool:
        """Is there anything to do?"""
        return self.pressing or self.to_hear > 0

    @property
    def to_hear(self) -> int:
        """How many sessions have sound to hear."""
        return len(self._ready.get(Action.HEAR, ()))

    @property
    def pressing(self) -> bool:
        """Is there anything to do besides hearing?"""
        return bool(self._spoken or self._ready[Action.READ] or self._ready[Action.WRITE])

    @torch.inference_mode()
    def warm_hearing(self, count: int) -> None:
        """Run the steps of HEAR once for so many sessions at a time, before the first is open; they leave no trace."""
        if self._sessions or not 1 <= count <= self.max_sessions:
            raise ValueError(f"{count} of {self.max_sessions} slots must be free, and all others")
        if self._hearing is not None:
            self._hearing.warm(count)

    # --- the loop ---------------------------------------------------------------------------------

    def tick(self, hear: bool = True) -> list[tuple[Session, Event]]:
        """One batch of READs, WRITEs or HEARs over all sessions that are ready; the events it caused, in order.

        hear: False leaves sound for later, so that more of it is heard at once.
        """
        self._ticks += 1
        ready = {a: some for a, some in self._ready.items() if hear or a is not Action.HEAR}
        batch = schedule(ready, self.max_batch)
        self.last_batch = len(batch.sessions) if batch is not None else 0
        self.last_action = batch.action if batch is not None else None
        if batch is not None:
            for session in batch.sessions:
                del self._ready[batch.action][session]
            try:
                self._run(batch)
            except Exception:
                log.exception("a tick of %d sessions failed", len(batch.sessions))
                for session in batch.sessions:
                    session.fail("the model failed on this session's step; open a new one")
            for session in batch.sessions:
                self.settle(session)
        return self._emit()

    @torch.inference_mode()
    def _run(self, batch: Batch) -> None:
        if batch.action is Action.READ:
            self._run_read(batch.sessions)
        elif batch.action is Action.WRITE:
            self._run_write(batch.sessions)
        elif self._hearing is not None:
            self._hearing.step([s.listener for s in batch.sessions if s.listener is not None])

    def _run_read(self, sessions: Sequence[Session]) -> None:
        """Words of like length go together: most have one piece, and padding them to the longest costs more."""
        words = sorted(((s.take_read(), s) for s in sessions), key=lambda pair: len(pair[0]))
        few = len(words) <= SMALL_READ
        for _, alike in groupby(words, key=lambda w: 0 if few else len(w[0]).bit_length()):
            self._read_alike(list(alike))

    def _read_alike(self, words: list[tuple[Unit, Session]]) -> None:
        units = [unit for unit, _ in words]
        source = self._padded(units)
        lengths = None if source.shape[1] == 1 else self._tensor([len(unit) for unit in units])
        rows = self._rows([session for _, session in words])
        self._slots.put(rows, self._model.read(source, self._slots.take(rows), lengths))

    def _padded(self, units: Sequence[Unit]) -> torch.Tensor:
        """(B, T) ids or, of a direct model, (B, T, D) states. A tensor for each unit costs: only states have one."""
        if self.model.direct:
            states = [torch.from_numpy(unit) for unit in units]
            return pad_sequence(states, True).to(self._device, self._model.embedding.weight.dtype)
        longest, pad = max(map(len, units)), self.vocabulary.pad
        return self._tensor([[*unit, *[pad] * (longest - len(unit))] for unit in units])

    def _run_write(self, sessions: Sequence[Session]) -> None:
        if self._beam:
            self._beam.plan([s for s in sessions if not (s.planned or s.forced)])
        rows = self._rows(sessions)
        previous = self._tensor([session.previous for session in sessions])
        logits, confidence, state = self._model.write(previous, self._slots.take(rows))
        logits.index_fill_(1, self._never, -torch.inf)
        pieces: list[int] = logits.argmax(1).tolist()
        for i, session in enumerate(sessions):
            if session.forced:
                pieces[i] = session.choose(logits[i])
            elif session.planned:
                pieces[i] = session.planned[0]
        sure = [1.0] * len(pieces) if confidence is None else confidence.tolist()
        counted = [i for i, s in enumerate(sessions) if s.wrote(pieces[i], sure[i])]
        fresh = [sessions[i] for i in counted if sessions[i].fresh]
        if len(counted) < len(sessions):
            some = self._tensor(counted)
            rows, state = rows.index_select(0, some), state.take(some)
        self._slots.put(rows, state)
        if fresh:
            self._slots.reset(self._rows(fresh))

    def _emit(self) -> list[tuple[Session, Event]]:
        events = []
        for session in self._spoken:
            events += [(session, event) for event in session.take_events()]
            if session.closed:
                self._forget(session)
        self._spoken.clear()
        return events

    def settle(self, session: Session) -> None:
        """Find out what a session does next and put it in line; one already in line keeps its place."""
        if session not in self._sessions:
            return
        action = session.action()
        for kind, waiting in self._ready.items():
            if kind is not action:
                waiting.pop(session, None)
            else:
                waiting.setdefault(session, self._ticks)
        if session.events:
            self._spoken[session] = None

    def _forget(self, session: Session) -> None:
        if session not in self._sessions:
            return
        self._sessions.remove(session)
        for waiting in self._ready.values():
            waiting.pop(session, None)
        with torch.inference_mode():
            self._slots.reset(self._rows([session]))
            if self._hearing is not None and session.listener is not None:
                self._hearing.reset(self._rows([session]))
        self._slots.release(session.slot)

    def _rows(self, sessions: Sequence[Session]) -> torch.Tensor:
        return self._tensor([session.slot for session in sessions])

    def _tensor(self, values: Sequence[object]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)
