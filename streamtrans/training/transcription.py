"""The training objective of a recogniser: connectionist temporal classification, at its end and halfway.

It knows the losses. It does not know sound, words, batches on disk or optimizers.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from streamtrans.models.recognizer import BLANK, Recognizer


class Transcription(nn.Module):
    """CTC (Graves et al. 2006) of the last layer, and with weight `intermediate` of the one in the middle, whose states
    then know labels early (Lee & Watanabe 2021, eq. 6).
    """

    def __init__(self, model: Recognizer, intermediate: float = 0.0) -> None:
        super().__init__()
        self.model, self.intermediate = model, intermediate

    def forward(
        self, mel: Tensor, frames: Tensor, labels: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss to differentiate and the plain CTC loss, sums over sentences in nats.

        mel: (B, T, M), frames: (B,) mel frames of each row that count, labels: (B, U), lengths: (B,) labels of each.
        """
        if not (self.training and self.intermediate):
            plain = self.loss(self.model(mel), frames, labels, lengths)
            return plain, plain.detach()
        halfway, last = self.model.halfway(mel)
        plain = self.loss(last, frames, labels, lengths)
        early = self.loss(halfway, frames, labels, lengths)
        loss = (1 - self.intermediate) * plain + self.intermediate * early
        return loss, plain.detach()

    def loss(self, logits: Tensor, frames: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """Summed CTC loss in float32. More labels than frames cost nothing and teach nothing."""
        scores = logits.float().log_softmax(-1).transpose(0, 1)  # (T', B, V)
        counts = self.model.count(frames)
        return F.ctc_loss(scores, labels, counts, lengths, BLANK, "sum", zero_infinity=True)
