"""The training objective: label-smoothed cross-entropy under multi-path wait-k.

It knows how much source a target position may see for a given k, and the loss. It does not know batches on disk,
optimizers or checkpoints.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FULL = 1 << 20  # a k no source is as long as: READ everything before the first WRITE


def visible_pieces(
    source: Tensor, target: Tensor, ends_word: Tensor, k: Tensor, pad: int, eos: int
) -> Tensor:
    """How many source pieces are READ before each target piece under wait-k (Ma et al. 2019, eq. 2).

    With w whole words written, min(w + k, |X|) units have been READ; the end of the source is the last unit. The number
    of written words counts what stands before the piece, so a piece that begins word w + 1 already sees w + k units.

    source: (B, S) ending in eos, target: (B, U) shifted right, ends_word: (V,) bool, k: (B,) -> (B, U) in 1..S.
    """
    ends = ends_word[source] | (source == eos)
    unit = ends.cumsum(1) - ends.long()  # (B, S): the unit a piece belongs to
    unit = unit.masked_fill(source == pad, 2 * FULL)
    written = ends_word[target].cumsum(1)  # (B, U)
    allowed = (written + k[:, None]).clamp(max=FULL)
    return torch.searchsorted(unit, allowed).clamp(min=1)


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
