"""The recogniser: log-mel frames to scores of word pieces, frame by frame (CTC, Graves et al. 2006).

Its labels are pieces of a `Vocabulary`, not characters, for four reasons. The word mark is a part of a word's last
piece, so a word is committed with it; a space would come with the next word. The frames can be long: fast English has
20 characters a second and some 6 pieces, and 80 ms frames, twelve a second, halve the cost of 40 ms ones. The text
model reads words, so both ends speak of the same unit. And pieces spell as words are spelt, where a probe with
characters wrote "we yo ou t d an swi me". What speaks for characters, rare words and little text, weighs less: the
training text is as large as that of the text model, and single letters are pieces too.

It knows mel frames and labels. It does not know samples, words or times.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamtrans.audio.features import Normalization
from streamtrans.models.config import ConfigError
from streamtrans.models.ngram import NGrams
from streamtrans.models.speech_encoder import (
    SpeechEncoder,
    SpeechEncoderConfig,
    SpeechEncoderState,
)
from streamtrans.nn.windows import N, Strided
from streamtrans.text.vocabulary import Vocabulary

BLANK = Vocabulary.pad  # both say that nothing is there
NEVER = (
    Vocabulary.unk,
    Vocabulary.bos,
    Vocabulary.eos,
)  # rows of the output that no transcript has


@dataclass(frozen=True, kw_only=True)
class RecognizerConfig(SpeechEncoderConfig):
    """A speech encoder with an output for each piece. language: what it hears and writes. ConfigError as there."""

    name: str
    language: str
    vocabulary: int
    kind: str = "speech"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind != "speech":
            raise ConfigError(f"kind {self.kind!r}: a recogniser is of kind speech")
        if self.vocabulary < 1:
            raise ConfigError("vocabulary must be at least 1")


class Recognizer(Strided[SpeechEncoderState]):
    """(B, T, M) log-mel frames -> (B, count(T), V) logits; label 0 is the blank.

    language_model: of its labels, which decoding.py weighs them with; it is no part of the weights.
    """

    def __init__(self, config: RecognizerConfig) -> None:
        super().__init__()
        self.config = config
        self.language_model: NGrams | None = None
        self.normalization = Normalization(config.mels)
        self.encoder = SpeechEncoder(config)
        self.output = nn.Linear(config.dim, config.vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, M) -> (B, count(T), V)."""
        return self.output(self.encode(x))

    def encode(self, x: Tensor) -> Tensor:
        """The states that the output layer scores: (B, T, M) -> (B, count(T), D)."""
        return self.encoder(self.normalization(x))

    def halfway(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, and before it the same output layer's logits from the layer in the middle (Lee & Watanabe
        2021, section 2.2): what an intermediate loss needs.
        """
        layers = self.encoder.outputs(self.normalization(x))
        return self.output(layers[(len(layers) - 1) // 2]), self.output(layers[-1])

    def init_state(self, batch: int) -> SpeechEncoderState:
        """Before the first frame."""
        return self.encoder.init_state(batch)

    def step(
        self, x: Tensor, state: SpeechEncoderState, lengths: Tensor | None = None
    ) -> tuple[Tensor, SpeechEncoderState]:
        """(B, T, M), state -> (B, whole chunks, V), state; as `SpeechEncoder.step`."""
        y, state = self.encode_step(x, state, lengths)
        return self.output(y), state

    def encode_step(
        self, x: Tensor, state: SpeechEncoderState, lengths: Tensor | None = None
    ) -> tuple[Tensor, SpeechEncoderState]:
        """As `step`, the states before the output layer."""
        return self.encoder.step(self.normalization(x), state, lengths)

    def count(self, length: N) -> N:
        """Labels out after `length` mel frames."""
        return self.encoder.count(length)

    def length(self, state: SpeechEncoderState) -> Tensor:
        """(B,) mel frames so far."""
        return self.encoder.length(state)

    def place(self) -> tuple[torch.device, torch.dtype]:
        """Device and dtype of the weights."""
        return self.encoder.place()


def best(logits: Tensor) -> Tensor:
    """The likeliest label of each frame: (..., V) -> (...)."""
    never = torch.tensor(NEVER, device=logits.device)
    return logits.index_fill(-1, never, -torch.inf).argmax(-1)
