"""Labels of frames become words with times by prefix beam search with a language model; no word is ever revised.

Each hypothesis is a row of pieces behind the words that are committed, and the probability of all ways to say just
these so far, those that end in a blank apart (Hannun et al. 2014, algorithm 1). A word is committed when all hypotheses
have it, or when it is some time ago in the likeliest one; those that have another there are dropped, and the search
goes on behind it. It knows labels, their probabilities, pieces and frames of one stream. It does not know tensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from streamtrans.models.config import ConfigError
from streamtrans.models.ctc import HeardWord, heard_word
from streamtrans.models.ngram import NGrams, Row
from streamtrans.models.piece_states import States
from streamtrans.models.recognizer import BLANK
from streamtrans.models.speech_encoder import SpeechEncoderConfig
from streamtrans.text.target import WORD_PIECES
from streamtrans.text.vocabulary import Vocabulary

Frame = tuple[float, Sequence[tuple[int, float]]]  # p of the blank; labels that may be said, and p


@dataclass(frozen=True, kw_only=True)
class BeamConfig:
    """Raises ConfigError where a value cannot be meant.

    size: hypotheses kept; narrow: and at least so likely, beside the likeliest. labels: of a frame that are tried, and
    at least of probability `floor`. weight: of the language model's logarithms; bonus: for each piece, in nats, without
    which long words would be too dear. bound: ms after which a word that ended is committed.
    """

    size: int = 12
    narrow: float = 1e-3
    labels: int = 8
    floor: float = 1e-3
    weight: float = 0.6
    bonus: float = 2.5
    bound: int = 240

    def __post_init__(self) -> None:
        if self.size < 1 or self.labels < 1 or self.bound < 0:
            raise ConfigError(
                "a beam has at least one hypothesis and one label, and no bound below 0"
            )
        if not (0 <= self.narrow < 1 and 0 <= self.floor < 1 and self.weight >= 0):
            raise ConfigError("narrow and floor are from 0 to below 1, and weight is not below 0")


@dataclass(slots=True)
class Hypothesis:
    """blank, said: probability of all ways that end in a blank, or in the last piece. frames: one a piece, in which it
    is said first in the likeliest way; way: the probability of that way's last step.
    """

    blank: float
    said: float
    frames: tuple[int, ...]
    way: float = field(default=0.0)


Pieces = tuple[int, ...]
Beam = dict[Pieces, Hypothesis]


class BeamWords:
    """One stream. Its state: the hypotheses, the pieces before them that the model looks back to, the number of frames.

    Any cutting of the frames gives the same words. A hypothesis has at most as many pieces as frames in the bound and
    `WORD_PIECES` more.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        config: SpeechEncoderConfig,
        language: str,
        model: NGrams,
        beam: BeamConfig = BeamConfig(),
    ) -> None:
        self._vocabulary = vocabulary
        self._spell = partial(heard_word, vocabulary, config, language)
        self._model, self._search = model, beam
        self._bound = beam.bound // config.frame
        self._frames = 0
        self._before: Pieces
        self._beam: Beam
        self._begin()

    @property
    def open(self) -> str:
        """What the likeliest hypothesis has behind the committed words; it may become something else."""
        return self._vocabulary.decode(self._best)

    def feed(self, labels: Sequence[Frame], frames: States | None = None) -> list[HeardWord]:
        """The words that the next frames commit. frames: not used, a direct model hears greedily."""
        words = []
        for blank, some in labels:
            self._beam = self._chosen(self._extended(blank, some))
            words += self._commit(self._decided())
            self._frames += 1
        return words

    def flush(self) -> list[HeardWord]:
        """All of the likeliest hypothesis, when a segment ends. What is fed next begins a new text."""
        words = self._commit(len(self._best))
        self._begin()
        return words

    def _begin(self) -> None:
        self._before = (Vocabulary.bos,)
        self._last = BLANK
        self._beam = {(): Hypothesis(1.0, 0.0, ())}

    @property
    def hypotheses(self) -> Beam:
        """By their pieces behind the committed words, the likeliest first; probabilities are beside the likeliest's."""
        return self._beam

    @property
    def _best(self) -> Pieces:
        """The beam is sorted."""
        return next(iter(self._beam))

    def _extended(self, blank: float, labels: Sequence[tuple[int, float]]) -> Beam:
        """Every hypothesis as it is, and with each label behind it, which the language model weighs."""
        heard: Beam = {}
        for pieces, one in self._beam.items():
            last = pieces[-1] if pieces else self._last
            total = one.blank + one.said
            row = None
            stay = total * blank
            again = 0.0
            for label, p in labels:
                # the last piece again is a new one only behind a blank
                mass = (one.blank if label == last else total) * p
                if label == last:
                    again = one.said * p
                if not mass:
                    continue
                if row is None:
                    row = self._row(pieces)
                mass *= math.exp(self._search.weight * row.item(label) + self._search.bonus)
                longer = heard.setdefault((*pieces, label), Hypothesis(0.0, 0.0, ()))
                longer.said += mass
                if mass > longer.way:
                    longer.way, longer.frames = mass, (*one.frames, self._frames)
            same = heard.setdefault(pieces, Hypothesis(0.0, 0.0, ()))
            same.blank += stay
            same.said += again
            if stay + again > same.way:
                same.way, same.frames = stay + again, one.frames
        return heard

    def _row(self, pieces: Pieces) -> Row:
        span = self._model.order - 1
        return self._model.row((self._before + pieces)[-span:] if span else ())

    def _chosen(self, heard: Beam) -> Beam:
        """The likeliest, best first, with probabilities beside the best one's."""
        if not 0 < sum(one.blank + one.said for one in heard.values()) < math.inf:
            return self._beam  # a frame in which nothing is possible, or that is not a number
        ranked = sorted(heard.items(), key=lambda item: item[1].blank + item[1].said, reverse=True)
        top = ranked[0][1].blank + ranked[0][1].said
        longest = self._bound + WORD_PIECES
        beam: Beam = {}
        for pieces, one in ranked[: self._search.size]:
            one.blank, one.said, one.way = one.blank / top, one.said / top, 0.0
            if one.blank + one.said <= self._search.narrow:
                break
            if len(pieces) <= longest or not beam:
                beam[pieces] = one
        return beam

    def _decided(self) -> int:
        """How many pieces of the best hypothesis are to be committed: whole words, in all or old enough."""
        best = self._best
        low, high = min(self._beam), max(self._beam)
        same = next(
            (i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low)
        )
        old = 0
        for frame in self._beam[best].frames:
            old += frame <= self._frames - self._bound
        return max(self._whole(best[:same]), self._whole(best[:old]))

    def _whole(self, pieces: Pieces) -> int:
        """How many of these make whole words. One of `WORD_PIECES` is whole."""
        whole = 0
        for count, piece in enumerate(pieces, 1):
            if self._vocabulary.ends_word[piece] or count - whole >= WORD_PIECES:
                whole = count
        return whole

    def _commit(self, count: int) -> list[HeardWord]:
        """The first pieces of the best hypothesis become words; those that begin with others are dropped."""
        if not count:
            return []
        said, frames = self._best[:count], self._beam[self._best].frames[:count]
        self._before = (self._before + said)[-max(1, self._model.order - 1) :]
        self._last = said[-1]
        beam: Beam = {}
        for pieces, one in self._beam.items():
            if pieces[:count] == said:
                one.frames = one.frames[count:]
                beam[pieces[count:]] = one
        self._beam = beam
        return self._words(said, frames)

    def _words(self, pieces: Pieces, frames: Pieces) -> list[HeardWord]:
        words, begin = [], 0
        for end in range(1, len(pieces) + 1):
            if self._whole(pieces[begin:end]) or end == len(pieces):
                word = self._spell(pieces[begin:end], frames[begin:end])
                words += [word] if word else []
                begin = end
        return words
