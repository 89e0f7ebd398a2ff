"""One stream: how far it has come in what was fed, and what it has to say.

It knows words, segments and events. It does not know tensors: its place in the state pool is a number.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from torch import Tensor

from streamtrans.engine.listener import Listener
from streamtrans.engine.prefix import Prefix
from streamtrans.engine.source_queue import Limits, SourceQueue, Waiting
from streamtrans.engine.source_word import SegmentEnd, SessionError, Unit, Word
from streamtrans.messages import (
    Changed,
    Command,
    Done,
    End,
    Error,
    Event,
    Mark,
    Marked,
    Segment,
    SetPolicy,
    Source,
    Target,
)
from streamtrans.policy import Action, Policy, Progress, runnable
from streamtrans.text.target import Detokenizer
from streamtrans.text.vocabulary import Vocabulary


class Session:
    """Owned by an engine, which asks `action`, calls `take_read` and `wrote`, and collects `events`.

    listener: what hears the words of a session of audio; one of text has None.
    """

    def __init__(
        self,
        slot: int,
        policy: Policy,
        vocabulary: Vocabulary,
        target: str,
        limits: Limits,
        decides: bool = False,
        prefix: Sequence[str] = (),
        listener: Listener | None = None,
    ) -> None:
        self.slot, self.policy, self.vocabulary, self.limits = slot, policy, vocabulary, limits
        self._decides = decides
        self.paused = self.closed = False
        self.previous = vocabulary.bos  # the piece written last
        self.planned: deque[int] = deque()  # what a beam chose to be written next
        self.events: list[Event] = []
        self._source = SourceQueue(vocabulary, limits, listener)
        self._detokenizer = Detokenizer(vocabulary, target)
        self._prefix = Prefix(prefix, vocabulary, target)
        self._seq = self._source_words = self._target_words = 0
        self._read_clock = 0.0
        self._ending = False
        self._segment_end: float | None = None  # ms, where a spoken segment ends
        self._new_segment()

    # --- feeding ----------------------------------------------------------------------------------

    def feed(self, command: Command) -> None:
        """Take a command. Raises SessionError and PolicyError; the session is then as before."""
        if self._ending or self.closed:
            raise SessionError("bad_order", "the session has ended; nothing may follow `end`")
        if isinstance(command, SetPolicy):
            runnable(command.policy, self._decides)
        self._source.feed(command)
        self._ending = isinstance(command, End)

    @property
    def listener(self) -> Listener | None:
        """What hears the words of a session of audio."""
        return self._source.listener

    @property
    def clock(self) -> float:
        """The source clock in ms: of audio, how much was fed."""
        return self._source.clock

    @property
    def unread(self) -> int:
        """Source words not yet READ."""
        return self._source.unread

    @property
    def backlog(self) -> int:
        """Source words fed and not yet READ, and chunks of audio not yet heard."""
        return self._source.backlog

    @property
    def waiting_ms(self) -> float:
        """ms of audio fed and not yet heard; 0 for text."""
        return self._source.waiting_ms

    def adopt(self, policy: Policy) -> None:
        """Change the policy at once, before what waits is READ, because the session lags."""
        self._use(policy, lag=True)

    def _use(self, policy: Policy, lag: bool = False) -> None:
        self.policy = policy
        self._confidence = 1.0
        self.planned.clear()
        self.events.append(Changed(self.next_seq(), policy.name, self._source_words, lag))

    # --- what comes next --------------------------------------------------------------------------

    def action(self) -> Action | None:
        """READ, WRITE, HEAR, or None when there is nothing to do. Commands between words are obeyed on the way."""
        self._source.hear()
        while not (self.closed or self.paused):
            if not self._hold and self._decide(self._confidence) is Action.WRITE:
                return Action.WRITE
            if not self._source:
                return Action.HEAR if self._source.can_hear else None
            if not self._obey(self._source.first):
                return Action.READ
            self._source.take()
        return None

    def _obey(self, item: Waiting) -> bool:
        if isinstance(item, Mark):
            self.events.append(Marked(self.next_seq(), item.id))
        elif isinstance(item, SetPolicy):
            self._use(runnable(item.policy, self._decides))
        elif isinstance(item, End):
            self.events.append(Done(self.next_seq(), self._source_words, self._target_words))
            self.closed = True
        else:
            return False
        return True

    def take_read(self) -> Unit:
        """The pieces or states of the next word, or the end of the segment. Call when `action` is READ."""
        item = self._source.take()
        self._hold, self._confidence = False, 1.0
        self.planned.clear()
        if isinstance(item, Word):
            self._read_clock = item.at
            self.events.append(
                Source(
                    self.next_seq(), item.text, self._source_words, item.at, item.begin, item.end
                )
            )
            self._source_words += 1
            self._read += 1
            self._read_pieces += len(item.unit)
            return item.unit
        assert isinstance(item, SegmentEnd)
        if item.at is not None:
            self._read_clock = item.at
        self._ended, self._segment_end = True, item.end
        return item.unit

    # --- writing ----------------------------------------------------------------------------------

    @property
    def forced(self) -> bool:
        """Does `choose` decide on the next piece, and not the highest score?"""
        return bool(self._prefix)

    def choose(self, scores: Tensor) -> int:
        """The next piece while `forced`. scores: (V,)."""
        return self._prefix.choose(scores, self._detokenizer.pieces, self._ended)

    def wrote(self, piece: int, confidence: float = 1.0) -> bool:
        """Take the piece a decoder step chose. False: it must not count, the decoder stays where it was.

        A policy may find the confidence too low, and the end of the target before the end of the source says that there
        is nothing to write yet: one more READ. Returns True as well when the segment is over (`fresh` is then True and
        the row has to be reset).
        """
        if self._decide(confidence) is Action.READ:
            self._confidence = confidence
            return False
        if piece == self.vocabulary.eos or self._overlong():
            if not self._ended:
                self._hold = True
                return False
            self._commit(self._detokenizer.flush() if self._detokenizer.pieces else None)
            words = self._source_words, self._target_words
            self.events.append(Segment(self.next_seq(), *words, self._segment_end))
            self._new_segment()
            return True
        self.fresh = False
        self.previous = piece
        if self.planned:
            self.planned.popleft()
        self._written_pieces += 1
        before = len(self._detokenizer.pieces)
        word = self._detokenizer.feed(piece)
        if len(self._detokenizer.pieces) <= before:
            self._written += 1
        self._commit(word)
        return True

    def _decide(self, confidence: float) -> Action:
        return self.policy.decide(Progress(self._read, self._written, self._ended, confidence))

    @property
    def words_allowed(self) -> int:
        """How many words may be written before the next READ; 0: all that are left, as the segment's end is READ.

        One with a policy that asks the model first.
        """
        if self._ended:
            return 0
        words = 1
        while not self.policy.learned and words < self.limits.words:
            ahead = Progress(self._read, self._written + words, self._ended)
            if self.policy.decide(ahead) is Action.READ:
                break
            words += 1
        return words

    @property
    def pieces_allowed(self) -> int:
        """How many pieces more the segment's target may have."""
        most = self.limits.ratio * self._read_pieces + self.limits.spare
        return max(0, math.ceil(most) - self._written_pieces)

    def _overlong(self) -> bool:
        """No more words than the source can account for: of 3,400 references 0.4 % are longer."""
        if self._detokenizer.pieces or (self._prefix and self._ended):
            return False
        return not self.pieces_allowed

    def _commit(self, word: str | None) -> None:
        if word is None:
            return
        if self._prefix:
            word = self._prefix.take()
        self.events.append(
            Target(self.next_seq(), word, self._target_words, self._source_words, self._read_clock)
        )
        self._target_words += 1

    def _new_segment(self) -> None:
        self._read = self._written = self._read_pieces = self._written_pieces = 0
        self._ended = self._hold = False
        self._segment_end = None
        self.planned.clear()
        self._confidence = 1.0  # of the last WRITE that was refused since the last READ
        self.previous = self.vocabulary.bos
        self.fresh = True

    # --- drafts -----------------------------------------------------------------------------------

    @property
    def heard(self) -> tuple[str, ...]:
        """What was heard and is not committed as source words; the last may be half a word."""
        return () if self.listener is None else tuple(self.listener.draft.split())

    @property
    def begun(self) -> list[int]:
        """The pieces of a target word that is not whole yet."""
        return list(self._detokenizer.pieces)

    @property
    def foreseeable(self) -> int:
        """How many pieces a draft may go on with: none before the first READ, nor where words are forced or ended."""
        if self.closed or self.forced or self._ended or not self._read:
            return 0
        return self.pieces_allowed

    # --- events -----------------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """The number of the last event."""
        return self._seq

    def next_seq(self) -> int:
        """The number of the next event; whoever adds an event of its own takes it from here."""
        self._seq += 1
        return self._seq

    def fail(self, text: str) -> None:
        """End with an error."""
        self.events.append(Error("internal", text))
        self.closed = True

    def take_events(self) -> list[Event]:
        """Events since the last call."""
        events, self.events = self.events, []
        return events
