"""The hearing half of a session: bytes and commands in, words with their times and the same commands out, in order.

It knows samples, scores, labels and words of one stream. It does not know tensors, other streams or translation: its
row in the pool of `Hearing` is a number. Nothing here depends on how the bytes were cut.

    bytes -> samples -> frames of 32 ms, scored -> segments -> chunks, labelled -> words

When a segment ends, the detector begins anew with the frame after it, and so the recogniser: what is heard from there
on follows from the sound from there on alone, so a client that lost its server can have it heard again.

A chunk is due when the frames that cover it are scored, and not before its segment is known to be one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamtrans.audio.buffer import SampleBuffer
from streamtrans.audio.features import HOP
from streamtrans.audio.input import AudioInput
from streamtrans.audio.pcm import Samples
from streamtrans.audio.resample import RATE
from streamtrans.audio.segments import Boundary, Edge, Segmentation, SpeechSegmenter
from streamtrans.audio.speech_detector import FRAME
from streamtrans.messages import Audio, Command, End, Flush
from streamtrans.models.ctc import HeardWord, Words
from streamtrans.models.piece_states import States
from streamtrans.models.recognizer import RecognizerConfig

MS = RATE // 1000  # samples
FRAMES = 4  # of the detector in one step: what comes in 128 ms


@dataclass(frozen=True, slots=True)
class Chunk:
    """One step of the recogniser. samples: (N,); begin: of its segment, at: what had to be taken in to have it, in
    samples of the stream; first: of its segment.
    """

    samples: Samples
    begin: int
    at: int
    first: bool


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word. begin, end: where it lies in the audio; at: how much audio it took to hear it, in ms. states: (P, D) of
    its pieces, for a direct model.
    """

    text: str
    begin: float
    end: float
    at: float
    states: States | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Pause:
    """A segment is over; at: when that was known, end: where the next one begins at the earliest, in ms."""

    at: float
    end: float


Heard = Spoken | Pause | Command


class Listener:
    """Owned by a session. `Hearing` asks for the next `frames` and the next `chunk` and says what it heard in them.

    rate: samples a second that come in. new_words: a search for each segment. states: dim of the states that go with
    each word, 0: none. pause: ms of silence that end a segment, None: the usual. Raises AudioError bad_rate, bad_pause.
    """

    def __init__(
        self,
        row: int,
        rate: int,
        config: RecognizerConfig,
        new_words: Callable[[], Words],
        states: int = 0,
        pause: int | None = None,
    ) -> None:
        self.row, self.states = row, states
        self._config, self._new_words = config, new_words
        self._input, self._sound = AudioInput(rate=rate), SampleBuffer()
        self._commands: deque[tuple[int, Command]] = deque()  # and the sample each waits for
        times = Segmentation.asked(pause)
        self._segmenter = SpeechSegmenter(times)
        self._history = FRAME * (times.frames(times.minimum) + times.frames(times.edge))
        self._rewound = FRAME * times.frames(times.pause)  # samples, at most, when a segment ends
        self._scored = 0  # samples the detector has had, whole frames
        self._anew = False  # the detector is to forget what it had
        self._at = 0.0  # ms, the latest that was told of what had to be taken in
        self._flushed = 0  # samples before the last flush
        self._begin: int | None = None  # sample with which the open segment begins
        self._known = self._cut = 0  # when that was known; the end of its last chunk
        self._due: deque[Chunk | Pause | Command] = deque()  # a chunk first
        self._words = self._new_words()
        self._offset = 0.0  # ms, of the segment that the words are of
        self._last = 0.0  # ms, the end of the newest word
        self._heard: list[Heard] = []

    # --- sound in ---------------------------------------------------------------------------------

    def feed(self, command: Command) -> None:
        """Sound, or a command that takes effect when the sound before it is heard.

        Flush and End wait for all of it, other commands for whole frames, without what a resampler may hold back.
        Half a sample waits for its other half; what is left of one at the end is no sound.
        """
        if isinstance(command, Audio):
            self._sound.append(self._input.feed(command.data))
            return
        if isinstance(command, (Flush, End)):
            self._sound.append(self._input.flush())
        self._commands.append((self._input.certain, command))
        self._obey()

    @property
    def language(self) -> str:
        """Of the words."""
        return self._config.language

    @property
    def clock(self) -> float:
        """ms of sound that was fed."""
        return self._input.seconds * 1000

    @property
    def waiting_ms(self) -> float:
        """ms of sound that was fed and not heard yet; at rest less than a frame and what a resampler holds back."""
        return max(0.0, self.clock - max(self._scored, self._flushed) / MS)

    @property
    def steps(self) -> int:
        """How many chunks of sound wait to be heard, and commands behind them.

        A chunk that is begun counts, less than a frame does not.
        """
        frames = (self._input.certain - self._scored) // FRAME
        return -(-frames * FRAME // self._size) + len(self._due) + len(self._commands)

    @property
    def draft(self) -> str:
        """What was heard and is no word yet; it may still change."""
        return self._words.open

    @property
    def ready(self) -> bool:
        """Is there a chunk or a frame to hear?"""
        return bool(self._due) or self._reach >= self._scored + FRAME

    # --- the detector -----------------------------------------------------------------------------

    @property
    def frames(self) -> Samples | None:
        """The next samples to score, one to FRAMES whole frames. None: not whole yet, or chunks come first."""
        count = min((self._reach - self._scored) // FRAME, FRAMES)
        if self._due or count < 1:
            return None
        return self._sound.between(self._scored, self._scored + count * FRAME)

    def begins_anew(self) -> bool:
        """Has a segment ended since this was asked last? Then the detector knows nothing of it."""
        anew, self._anew = self._anew, False
        return anew

    def scored(self, scores: Sequence[float]) -> None:
        """Speech in each of `frames`: from 0 to 1. What follows the end of a segment is to be scored again."""
        for score in scores:
            self._scored += FRAME
            for boundary in self._segmenter.feed((score,)):
                self._pass(boundary, boundary.known * FRAME)
            self._chunks(self._scored)
            self._obey()
            if self._anew:
                break
        if self._begin is None:
            self._sound.forget(self._scored - self._history)
        else:
            self._sound.forget(min(self._scored - max(self._history, self._rewound), self._cut))

    @property
    def _reach(self) -> int:
        """The sample up to which the detector may go: to the next command, or as far as there is sound."""
        return self._commands[0][0] if self._commands else self._input.certain

    def _obey(self) -> None:
        """Commands whose sound is scored wait for the chunks of it."""
        while self._commands and self._commands[0][0] < self._scored + FRAME:
            at, command = self._commands.popleft()
            if isinstance(command, (Flush, End)):
                for boundary in self._segmenter.flush():
                    self._pass(boundary, at)
                self._flushed = at
            self._due.append(command)
        self._release()

    # --- segments and chunks ----------------------------------------------------------------------

    def _pass(self, boundary: Boundary, known: int) -> None:
        """A segment begins, or ends with all that is known of it."""
        if boundary.edge is Edge.BEGIN:
            self._begin = self._cut = boundary.at * FRAME
            self._known = known
            return
        self._chunks(known)
        assert self._begin is not None
        begin, cut = self._begin, self._cut
        behind = self._config.ahead * self._config.subsampling * HOP
        rest = self._sound.between(cut, known)
        steps = -(-(len(rest) + (behind if known > begin else 0)) // self._size)
        rest = np.pad(rest, (0, steps * self._size - len(rest)))
        for i, samples in enumerate(np.split(rest, steps) if steps else ()):
            self._due.append(Chunk(samples, begin, known, cut == begin and not i))
        self._due.append(Pause(known / MS, boundary.at * FRAME / MS))
        self._begin = None
        self._anew = True
        self._scored = self._segmenter.rewind() * FRAME

    def _chunks(self, end: int) -> None:
        """The whole chunks of the open segment, up to a sample."""
        while self._begin is not None and self._cut + self._size <= end:
            cut = self._cut
            self._cut += self._size
            at = max(self._known, -(-self._cut // FRAME) * FRAME)
            samples = self._sound.between(cut, self._cut)
            self._due.append(Chunk(samples, self._begin, min(at, end), cut == self._begin))

    @property
    def _size(self) -> int:
        """Samples of a chunk."""
        return HOP * self._config.stride

    # --- the recogniser ---------------------------------------------------------------------------

    @property
    def chunk(self) -> Chunk | None:
        """What the recogniser is to hear next."""
        first = self._due[0] if self._due else None
        return first if isinstance(first, Chunk) else None

    def labelled(self, labels: Sequence[Any], frames: States | None = None) -> None:
        """What it heard in `chunk`, of `Decoding.labels`. frames: (T, D + 1), of `piece_states.evidence`."""
        chunk = self._due.popleft()
        assert isinstance(chunk, Chunk)
        if chunk.first:
            self._words, self._offset = self._new_words(), chunk.begin / MS
        self._say(self._words.feed(labels, frames), chunk.at / MS)
        self._release()

    def take_heard(self) -> list[Heard]:
        """Words, pauses and commands since the last call."""
        heard, self._heard = self._heard, []
        return heard

    def _release(self) -> None:
        """What waits for no chunk is heard."""
        while self._due and not isinstance(self._due[0], Chunk):
            item = self._due.popleft()
            assert not isinstance(item, Chunk)
            if isinstance(item, Pause):
                item = Pause(max(item.at, self._at), item.end)
                self._say(self._words.flush(), item.at)
            self._heard.append(item)

    def _say(self, words: list[HeardWord], at: float) -> None:
        """Times never go back and never lie ahead: segments may overlap, and a segment's end may be silence added."""
        self._at = at = max(at, self._at)
        for word in words:
            end = min(max(self._offset + word.end, self._last), at)
            begin = min(max(self._offset + word.begin, self._last), end)
            self._last = end
            self._heard.append(Spoken(word.text, begin, end, at, word.states))
