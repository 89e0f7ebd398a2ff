"""Attention against plain loops and against torch's own, and under the law."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from contract import verify
from torch import Tensor, nn

from streamtrans.nn.attention import (
    CausalAttention,
    angles,
    attend,
    hiding,
    merge_heads,
    split_heads,
    turn,
)


def looped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Vaswani et al. 2017, eq. 1, one query at a time. (H, T, Dh), ..., (T, S) -> (T, H Dh)."""
    rows = []
    for t in range(query.shape[1]):
        heads = []
        for q, ks, vs in zip(query[:, t], key, value, strict=True):
            seen = [s for s in range(len(ks)) if mask[t, s]]
            weight = [math.exp(float(q @ ks[s]) / math.sqrt(len(q))) for s in seen]
            total = sum(weight)
            mixed = [w / total * vs[s] for w, s in zip(weight, seen, strict=True)]
            heads.append(torch.stack(mixed).sum(0))
        rows.append(torch.cat(heads))
    return torch.stack(rows)


def random(*shape: int) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64
    )


def rotate(x: Tensor, position: Tensor) -> Tensor:
    """The rotary embedding at some positions. x: (B, H, T, Dh)."""
    return turn(x, *angles(position, x.shape[-1], x.dtype))


def test_attend_is_the_equation() -> None:
    query, key, value = random(2, 3, 4, 6), random(2, 3, 5, 6), random(2, 3, 5, 6) + 1
    mask = random(2, 1, 4, 5) > -0.5
    mask[..., 0] = True
    y = attend(query, key, value, hiding(mask, query.dtype))
    for b in range(2):
        expected = looped(query[b], key[b], value[b], mask[b, 0])
        torch.testing.assert_close(y[b], expected)
    fused = merge_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=mask))
    torch.testing.assert_close(y, fused)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_query_that_may_look_nowhere_is_finite(dtype: torch.dtype) -> None:
    """Padding sees nothing. Minus infinity as its mask makes its softmax 0 / 0, and minus a billion
    was more than float16 holds: a model loaded in it died at its first READ.
    """
    query, key, value = (
        x.to(dtype) for x in (random(1, 2, 3, 4), random(1, 2, 5, 4), random(1, 2, 5, 4))
    )
    mask = torch.ones(1, 1, 3, 5, dtype=torch.bool)
    mask[:, :, 1] = False
    y = attend(query, key, value, hiding(mask, query.dtype))
    assert y.dtype == dtype and y.isfinite().all()
    torch.testing.assert_close(
        y[:, [0, 2]], attend(query[:, :, [0, 2]], key, value, hiding(mask[:, :, [0, 2]], dtype))
    )


def test_heads_split_and_merge() -> None:
    x = random(2, 5, 12)
    assert split_heads(x, 3).shape == (2, 3, 5, 4)
    assert torch.equal(split_heads(x, 3)[1, 2, 4], x[1, 4, 8:])
    assert torch.equal(merge_heads(split_heads(x, 3)), x)


def test_rotation_is_the_equation() -> None:
    """Equation 34 of Su et al. 2021 turns pairs of numbers; pair i here is (i, i + Dh / 2)."""
    x = random(1, 1, 1, 6)
    y = rotate(x, torch.tensor([7]))[0, 0, 0]
    for i in range(3):
        turned = complex(x[0, 0, 0, i], x[0, 0, 0, i + 3]) * complex(
            math.cos(7 * 10_000 ** (-i / 3)), math.sin(7 * 10_000 ** (-i / 3))
        )
        assert (float(y[i]), float(y[i + 3])) == pytest.approx((turned.real, turned.imag))


def test_rotated_products_depend_on_the_distance_alone() -> None:
    query, key = random(2, 2, 1, 8), random(2, 2, 1, 8) + 0.5
    for distance in (0, 1, 17):
        near, far = (
            (rotate(query, at + distance) * rotate(key, at)).sum(-1)
            for at in (torch.tensor([[3], [5]]), torch.tensor([[400], [123_456]]))
        )
        torch.testing.assert_close(near, far, rtol=1e-7, atol=1e-7)


def test_rotation_is_exact_late_in_a_stream() -> None:
    """Angles in float32 are off by whole degrees after some hours: they are computed in float64
    whatever x is.
    """
    x = random(1, 1, 1, 8)
    late = torch.tensor([10_000_019])
    torch.testing.assert_close(rotate(x.float(), late).double(), rotate(x, late), atol=1e-5, rtol=0)


def golden(module: CausalAttention, x: Tensor) -> Tensor:
    """The same by torch's fused kernel, head by head, row by row."""
    time = torch.arange(x.shape[1])
    size = x.shape[2] // module.heads
    behind = time[:, None] - time
    mask = (behind >= 0) & (behind < module.window)
    weight = module.qkv.weight.view(3, module.heads, size, -1)
    heads = []
    for h in range(module.heads):
        query, key, value = (x @ weight[i, h].T for i in range(3))
        query, key = (rotate(z[:, None], time)[:, 0] for z in (query, key))
        heads.append(F.scaled_dot_product_attention(query, key, value, attn_mask=mask))
    return torch.cat(heads, dim=-1) @ module.out.weight.T


@pytest.mark.parametrize("window", [1, 4, 50])
def test_causal_attention_is_plain_attention(window: int) -> None:
    torch.manual_seed(0)
    module = CausalAttention(12, heads=3, window=window).double()
    x = random(2, 11, 12)
    torch.testing.assert_close(module(x), golden(module, x))


def test_without_rotation_it_is_torchs_multihead_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamtrans.nn.attention.turn", lambda x, cos, sin: x)
    torch.manual_seed(0)
    module = CausalAttention(12, heads=3, window=50).double()
    theirs = nn.MultiheadAttention(12, 3, bias=False, batch_first=True).double()
    theirs.load_state_dict(
        {"in_proj_weight": module.qkv.weight, "out_proj.weight": module.out.weight}
    )
    x = random(2, 7, 12)
    hidden = torch.ones(7, 7, dtype=torch.bool).triu(1)
    expected, _ = theirs(x, x, x, attn_mask=hidden, need_weights=False)
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize(
    ("window", "piece", "time"),
    [(30, 30, 20), (5, 20, 20), (5, 3, 60), (1, 1, 9), (1, 4, 9), (4, 1, 17)],
)
def test_causal_attention_obeys_the_law(window: int, piece: int, time: int) -> None:
    """Windows shorter than the sequence, rings that wrap many times, pieces as large as they may
    be.
    """
    torch.manual_seed(0)
    verify(CausalAttention(8, heads=2, window=window, piece=piece), random(3, time, 8), piece=piece)


def test_a_step_takes_no_more_than_a_piece() -> None:
    """A larger one would overwrite what its first position still sees."""
    module = CausalAttention(8, heads=2, window=4, piece=3)
    with pytest.raises(ValueError, match="at most 3 positions, not 4"):
        module.step(torch.zeros(1, 4, 8), module.init_state(1))


def test_heads_must_fit() -> None:
    with pytest.raises(ValueError, match="multiple of 2 x heads"):
        CausalAttention(6, heads=2, window=4)
