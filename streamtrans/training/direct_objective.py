"""The objective of direct translation: what a frozen recogniser hears, translated under multi-path wait-k.

It knows how speech becomes states and READs. What is learned from them is in objective.py. It does not know samples,
batches on disk or optimizers.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from streamtrans.models.ctc import CTCWords
from streamtrans.models.model import Model
from streamtrans.models.piece_states import end, evidence
from streamtrans.models.recognizer import Recognizer, best
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.objective import NEVER_READ, Translation


class SpeechTranslation(Translation):
    """As `Translation`, of speech. The words of wait-k are those the recogniser hears, mistakes included, as in use.

    recognizer: with its vocabulary; it is never trained.
    """

    def __init__(
        self,
        model: Model,
        recognizer: tuple[Recognizer, Vocabulary],
        ends_word: Tensor,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(model, ends_word, smoothing)
        self.recognizer, self._spelling = recognizer
        self.recognizer.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """The recogniser always hears as in use."""
        super().train(mode)
        self.recognizer.eval()
        return self

    def forward(
        self, mel: Tensor, frames: Tensor, target: Tensor, k: Tensor, sampled: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """The loss to differentiate and the plain cross-entropy, sums over target pieces in nats.

        mel: (B, T, M), frames: (B,) mel frames of each row that count, target: (B, U) ending in eos, k: (B,).
        """
        states, unit = self.hear(mel, frames)
        return self.losses(states, unit, shifted(target), target, k, sampled)

    @torch.no_grad()
    def hear(self, mel: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """The states of all heard pieces and the end, (B, S, states), and the READ that each comes with, (B, S)."""
        states = self.recognizer.encode(mel)
        logits = self.recognizer.output(states)
        counts = self.recognizer.count(frames).tolist()
        rows = zip(best(logits).tolist(), evidence(states, logits), counts, strict=True)
        found, units = [], []
        for labels, seen, count in rows:
            config = self.recognizer.config
            words = CTCWords(self._spelling, config, config.language)
            heard = words.feed(labels[:count], seen[:count]) + words.flush()
            reads = [word.states for word in heard if word.states is not None] + [end(config.dim)]
            found.append(torch.cat([torch.from_numpy(read) for read in reads]))
            sizes = torch.tensor([len(read) for read in reads])
            units.append(torch.arange(len(reads)).repeat_interleave(sizes))
        dtype = self.model.embedding.weight.dtype
        return (
            pad_sequence(found, batch_first=True).to(mel.device, dtype),
            pad_sequence(units, batch_first=True, padding_value=NEVER_READ).to(mel.device),
        )


def shifted(target: Tensor) -> Tensor:
    """The decoder's input for a target: (B, U) -> (B, U), bos first."""
    return torch.cat((torch.full_like(target[:, :1], Vocabulary.bos), target[:, :-1]), dim=1)
