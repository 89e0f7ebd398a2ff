"""Self-attention that streams: each position sees a bounded past.

It knows positions and caches. It does not know tokens or a second sequence: that is in cross.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamtrans.nn.cache import Cells, KeyValueCache, Seen
from streamtrans.nn.streaming import Streaming

ROTARY_BASE = 10_000.0


def angles(position: Tensor, dim: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary embedding for heads of `dim`: (T,) -> (T, Dh/2), (B, T) -> (B, 1, T, Dh/2)."""
    half = dim // 2
    frequency = ROTARY_BASE ** (
        -torch.arange(half, device=position.device, dtype=torch.float64) / half
    )
    angle = position.to(torch.float64)[..., None] * frequency
    if angle.dim() == 3:
        angle = angle[:, None]
    return angle.cos().to(dtype), angle.sin().to(dtype)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021, eq. 34) by given `angles`. x: (B, H, T, Dh)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, D) -> (B, H, T, Dh)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, T, Dh) -> (B, T, D)."""
    return x.transpose(1, 2).flatten(2)


def hiding(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to scores so that only what a bool mask says is looked at: 0 or the lowest finite number, halved."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(
        ~mask, torch.finfo(dtype).min / 2
    )


def attend(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1), heads merged.

    query: (B, H, T, Dh), key, value: (B, H, S, Dh), hidden: from `hiding`, broadcast to (B, H, T, S); a query that may
    look nowhere looks everywhere (it is padding) -> (B, T, H Dh).

    On the CPU the plain products are six times as fast as the fused kernel, forward and backward, at sentence length.
    """
    if query.device.type != "cpu":
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=hidden)
    else:
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
        y = (scores + hidden).softmax(-1) @ value
    return merge_heads(y)


@dataclass(frozen=True)
class Plan:
    """What one step needs to know beside its input, the same for all layers of a stack: made once, handed to each."""

    cells: Cells
    seen: Seen
    hidden: Tensor
    angles: tuple[Tensor, Tensor]


class CausalAttention(Streaming[KeyValueCache]):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2.2) in which position t sees t - window + 1 .. t.

    piece: the most positions one `step` takes; the ring has window + piece - 1 cells, so that the newest positions of a
    piece do not overwrite what its first one still sees.
    """

    def __init__(self, dim: int, heads: int, window: int, piece: int = 64) -> None:
        super().__init__()
        if dim % (2 * heads):
            raise ValueError(f"dim {dim} must be a multiple of 2 x heads {heads}")
        self.heads, self.window, self.piece = heads, window, piece
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        time = torch.arange(x.shape[1], device=x.device)
        behind = time[:, None] - time
        return self.under(x, (behind >= 0) & (behind < self.window))

    def under(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attention under a mask of another shape than the law's: offline encoders see both ways. mask: (T, T) bool, or
        what broadcasts to (B, H, T, T).
        """
        time = torch.arange(x.shape[1], device=x.device)
        query, key, value = self._project(x, angles(time, self._head, x.dtype))
        return self.out(attend(query, key, value, hiding(mask, query.dtype)))

    def init_state(self, batch: int) -> KeyValueCache:
        """An empty ring cache."""
        cells = self.window + self.piece - 1
        return KeyValueCache.zeros(
            batch, cells, self.out.in_features, *self.place(), heads=self.heads
        )

    def plan(self, state: KeyValueCache, time: int, lengths: Tensor | None = None) -> Plan:
        """Positions, cells and masks of a step of `time` positions."""
        if time > self.piece:
            raise ValueError(f"a step takes at most {self.piece} positions, not {time}")
        dtype = self.out.weight.dtype
        now = state.length[:, None] + torch.arange(time, device=state.length.device)  # (B, T)
        cells = state.cells_for(time, lengths)
        seen = state.seen(cells.length)
        position = seen.position[:, None]  # (B, 1, S)
        behind = now[:, :, None] - position  # (B, T, S)
        mask = (position >= 0) & (behind >= 0) & (behind < self.window)
        return Plan(cells, seen, hiding(mask, dtype)[:, None], angles(now, self._head, dtype))

    def step(
        self,
        x: Tensor,
        state: KeyValueCache,
        lengths: Tensor | None = None,
        plan: Plan | None = None,
    ) -> tuple[Tensor, KeyValueCache]:
        """(B, T, D), cache -> (B, T, D), cache. T is at most `piece`. plan: of a layer of the same stack."""
        plan = plan or self.plan(state, x.shape[1], lengths)
        query, key, value = self._project(x, plan.angles)
        state = state.append(key, value, cells=plan.cells)
        keys, values, _ = state.read(plan.seen)
        return self.out(attend(query, keys, values, plan.hidden)), state

    @property
    def _head(self) -> int:
        return self.out.in_features // self.heads

    def _project(self, x: Tensor, by: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Query and key, rotated in one go, and value: three of (B, H, T, Dh)."""
        both, value = self.qkv(x).split((2 * x.shape[-1], x.shape[-1]), dim=-1)
        query, key = turn(split_heads(both, 2 * self.heads), *by).chunk(2, dim=1)
        return query, key, split_heads(value, self.heads)
