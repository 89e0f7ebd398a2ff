"""How a recogniser's logits become words: by beam search where it has a language model, else greedily.

Each way has two halves: `labels`, over all rows of a step, is what leaves the tensors; `words` is the search of one
stream, which is fed with it. Live and offline decode through here alone. A direct model needs the states of the
likeliest labels, so it hears greedily. It does not know sound or sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from streamtrans.models.config import ConfigError
from streamtrans.models.ctc import CTCWords, Words
from streamtrans.models.ctc_beam import BeamConfig, BeamWords, Frame
from streamtrans.models.ngram import NGrams
from streamtrans.models.recognizer import BLANK, NEVER, Recognizer, RecognizerConfig, best
from streamtrans.text.vocabulary import Vocabulary


class Decoding(Protocol):
    """What a decoder of CTC does."""

    def labels(self, logits: Tensor) -> Sequence[Sequence[Any]]:
        """(B, T, V) -> what `Words.feed` takes, for each row and each of its frames."""

    def words(self) -> Words:
        """Of a new stream."""


class Greedy:
    """The likeliest label of each frame."""

    def __init__(self, config: RecognizerConfig, vocabulary: Vocabulary) -> None:
        self._config, self._vocabulary = config, vocabulary

    def labels(self, logits: Tensor) -> list[list[int]]:
        """See `Decoding`."""
        labels: list[list[int]] = best(logits).tolist()
        return labels

    def words(self) -> CTCWords:
        """See `Decoding`."""
        return CTCWords(self._vocabulary, self._config, self._config.language)


class Beam:
    """The likely labels of each frame and their probabilities. model: of the same pieces."""

    def __init__(
        self,
        config: RecognizerConfig,
        vocabulary: Vocabulary,
        model: NGrams,
        search: BeamConfig = BeamConfig(),  # noqa: B008
    ) -> None:
        self._config, self._vocabulary = config, vocabulary
        self._model, self._search = model, search

    def labels(self, logits: Tensor) -> list[list[Frame]]:
        """See `Decoding`."""
        exact = torch.promote_types(logits.dtype, torch.float32)
        never = torch.tensor(NEVER, device=logits.device)
        scores = logits.to(exact).index_fill(-1, never, -torch.inf).softmax(-1)
        blanks = scores[..., BLANK].tolist()
        scores[..., BLANK] = 0
        count = min(self._search.labels, scores.shape[-1])
        found, labels = scores.topk(count, dim=-1)
        rows = zip(blanks, labels.tolist(), found.tolist(), strict=True)
        return [[self._frame(*frame) for frame in zip(*row, strict=True)] for row in rows]

    def words(self) -> BeamWords:
        """See `Decoding`."""
        language = self._config.language
        return BeamWords(self._vocabulary, self._config, language, self._model, self._search)

    def _frame(self, blank: float, labels: list[int], scores: list[float]) -> Frame:
        floor = self._search.floor
        pairs = zip(labels, scores, strict=True)
        return blank, [(label, p) for label, p in pairs if p > floor]


def decoding(recognizer: Recognizer, vocabulary: Vocabulary, direct: bool = False) -> Decoding:
    """What serves a recogniser. Raises ConfigError: a language model of another number of pieces."""
    model, config = recognizer.language_model, recognizer.config
    if model is None or direct:
        return Greedy(config, vocabulary)
    if len(model.levels[0].pieces) != config.vocabulary:
        raise ConfigError(f"{config.name}: its language model is of other pieces")
    return Beam(config, vocabulary, model)
