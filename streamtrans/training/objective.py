"""The training objectives: label-smoothed cross-entropy under multi-path wait-k, and the policy head's.

It knows how much source a target position may see for a given k, and the losses. It does not know batches on disk,
optimizers or checkpoints.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamtrans.models.model import Model
from streamtrans.nn.monotonic import delay_variance, differentiable_average_lagging, expected_delay
from streamtrans.text.vocabulary import Vocabulary

FULL = 1 << 20  # a k no source is as long as: READ everything before the first WRITE
NEVER_READ = 2 * FULL


def visible_pieces(
    source: Tensor, target: Tensor, ends_word: Tensor, k: Tensor, pad: int, eos: int
) -> Tensor:
    """How many source pieces are READ before each target piece under wait-k (Ma et al. 2019, eq. 2).

    With w whole words written, min(w + k, |X|) units have been READ; the end of the source is the last unit. The number
    of written words counts what stands before the piece, so a piece that begins word w + 1 already sees w + k units.

    source: (B, S) ending in eos, target: (B, U) shifted right, ends_word: (V,) bool, k: (B,) -> (B, U) in 1..S.
    """
    return visible_positions(source_units(source, ends_word, pad, eos), target, ends_word, k)


def source_units(source: Tensor, ends_word: Tensor, pad: int, eos: int) -> Tensor:
    """Which READ each source piece comes with, 0 the first; NEVER_READ for padding. As `visible_pieces` -> (B, S)."""
    ends = ends_word[source] | (source == eos)
    return (ends.cumsum(1) - ends.long()).masked_fill(source == pad, NEVER_READ)


def visible_positions(unit: Tensor, target: Tensor, ends_word: Tensor, k: Tensor) -> Tensor:
    """As `visible_pieces`, for source positions of any kind. unit: (B, S), the READ that each comes with, from 0 on."""
    written = ends_word[target].cumsum(1)  # (B, U)
    allowed = (written + k[:, None]).clamp(max=FULL)
    return torch.searchsorted(unit, allowed).clamp(min=1)


def drawn_k(lowest: int, highest: int, full: float, count: int) -> Tensor:
    """A k for each of `count` sentences: from `lowest` to `highest`, and FULL for a share of them. (count,)."""
    k = torch.randint(lowest, highest + 1, (count,))
    return torch.where(torch.rand(count) < full, FULL, k)


class SmoothedCrossEntropy(torch.autograd.Function):
    """Cross-entropy of a tied output layer with label smoothing (Szegedy et al. 2016, section 7), summed over rows.

    The logits are made a few hundred rows at a time and their gradient at once, so that (N, V) never exists as a whole:
    with N = 4000 and V = 8000 on two cores that halves the time of the loss.
    """

    rows = 512

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, target: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """x: (N, D), weight: (V, D), target: (N,) -> smoothed loss, plain loss, both sums in nats."""
        loss = torch.zeros((), device=x.device)
        plain = torch.zeros((), device=x.device)
        low = torch.bfloat16 if torch.is_autocast_enabled(x.device.type) else x.dtype
        table = weight.detach().to(low)
        grad_x, grad_weight = torch.empty_like(x), torch.zeros_like(weight)
        with torch.autocast(x.device.type, enabled=False):
            for some in range(0, len(x), SmoothedCrossEntropy.rows):
                part = slice(some, some + SmoothedCrossEntropy.rows)
                rows, gold = x[part].detach().to(low), target[part, None]
                logits = (rows @ table.T).float()
                logits -= logits.logsumexp(1, keepdim=True)
                hit = logits.gather(1, gold).sum()
                plain -= hit
                loss -= (1 - smoothing) * hit + smoothing * logits.mean(1).sum()
                logits.exp_().sub_(smoothing / logits.shape[1])
                logits.scatter_add_(
                    1, gold, torch.full_like(gold, smoothing - 1, dtype=logits.dtype)
                )
                grad = logits.to(low)
                grad_x[part] = (grad @ table).to(x.dtype)
                grad_weight += (grad.T @ rows).to(weight.dtype)
        ctx.save_for_backward(grad_x, grad_weight)
        ctx.mark_non_differentiable(plain)
        return loss, plain

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Scale what forward has already computed."""
        grad_x, grad_weight = ctx.saved_tensors
        return grad_x * grads[0], grad_weight * grads[0], None, None


class Translation(nn.Module):
    """Cross-entropy of the target, and the latency losses of attention that learns when to WRITE.

    Its forward is what a step differentiates, so it is what DistributedDataParallel wraps.
    """

    ends_word: Tensor

    def __init__(
        self,
        model: Model,
        ends_word: Tensor,
        smoothing: float = 0.0,
        latency: float = 0.0,
        variance: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.smoothing, self.latency, self.variance = smoothing, latency, variance
        self.register_buffer("ends_word", ends_word, persistent=False)

    def forward(
        self, source: Tensor, shifted: Tensor, target: Tensor, k: Tensor, sampled: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """The loss to differentiate and the plain cross-entropy, sums over target pieces in nats.

        source: (B, S), shifted, target: (B, U), k: (B,). sampled: share of the inputs that are the model's predictions.
        """
        unit = source_units(source, self.ends_word, Vocabulary.pad, Vocabulary.eos)
        return self.losses(source, unit, shifted, target, k, sampled)

    def losses(
        self,
        source: Tensor,
        unit: Tensor,
        shifted: Tensor,
        target: Tensor,
        k: Tensor,
        sampled: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, for a source of any kind that the model READs. unit: (B, S), see `visible_positions`."""
        visible = visible_positions(unit, shifted, self.ends_word, k)
        if sampled:
            shifted = self._sampled(source, shifted, visible, sampled)
        kept = target != Vocabulary.pad
        x, alignments = self.model.align(source, shifted, visible)
        loss, plain = SmoothedCrossEntropy.apply(
            x[kept], self.model.embedding.weight, target[kept], self.smoothing
        )
        if self.training and alignments and (self.latency or self.variance):
            loss = loss + self._latency(torch.cat(alignments, dim=1), unit, kept)
        return loss, plain

    def visible(self, source: Tensor, shifted: Tensor, k: Tensor) -> Tensor:
        """See `visible_pieces`."""
        v = Vocabulary
        return visible_pieces(source, shifted, self.ends_word, k, v.pad, v.eos)

    @torch.no_grad()
    def _sampled(self, source: Tensor, shifted: Tensor, visible: Tensor, share: float) -> Tensor:
        """Scheduled sampling (Bengio et al. 2015) for parallel decoders (Duckworth et al. 2019): one pass over the gold
        prefix predicts, and some of its predictions are the inputs of the pass that learns.
        """
        predicted = self.model.logits(self.model(source, shifted, visible)).argmax(-1)
        inputs = torch.cat((shifted[:, :1], predicted[:, :-1]), dim=1)
        drawn = torch.rand(shifted.shape, device=shifted.device) < share
        drawn &= (shifted != Vocabulary.pad) & (shifted != Vocabulary.bos)
        return torch.where(drawn, inputs, shifted)

    def _latency(self, alignment: Tensor, unit: Tensor, kept: Tensor) -> Tensor:
        """Lagging of the mean head (Arivazhagan et al. 2019, section 3.3), and how far heads are apart (Ma et al. 2020,
        section 2.3), summed over sentences. alignment: (B, H, U, S), heads of all layers.
        """
        delay = expected_delay(alignment)  # (B, H, U)
        source_length = (unit < NEVER_READ).sum(1).to(delay.dtype)
        target_length = kept.sum(1).to(delay.dtype)
        lag = differentiable_average_lagging(delay.mean(1), source_length, target_length)
        loss = self.latency * lag.sum()
        if self.variance:
            loss = loss + self.variance * delay_variance(delay, kept).sum()
        return loss


class Confidence(nn.Module):
    """Trains the policy head of a finished model: is the likeliest piece now the likeliest with the whole source as
    well?

    Binary cross-entropy, on the gold prefix; everything but the head is left as it is.
    """

    def __init__(self, model: Model, ends_word: Tensor) -> None:
        super().__init__()
        assert model.head is not None
        self.translation, self.head = Translation(model, ends_word), model.head
        model.requires_grad_(False)
        self.head.requires_grad_(True)

    def forward(
        self, source: Tensor, shifted: Tensor, target: Tensor, k: Tensor, sampled: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """As `Translation.forward`; both sums are the binary cross-entropy."""
        kept = target != Vocabulary.pad
        with torch.no_grad():
            model = self.translation.model.eval()
            now, x = self._logits(model, source, shifted, k, kept)
            whole, _ = self._logits(model, source, shifted, torch.full_like(k, FULL), kept)
            stays = (now.argmax(-1) == whole.argmax(-1)).float()
        loss = F.binary_cross_entropy_with_logits(self.head(x, now).float(), stays, reduction="sum")
        return loss, loss.detach()

    def _logits(
        self, model: Model, source: Tensor, shifted: Tensor, k: Tensor, kept: Tensor
    ) -> tuple[Tensor, Tensor]:
        x = model(source, shifted, self.translation.visible(source, shifted, k))[kept]
        return model.logits(x).float(), x
