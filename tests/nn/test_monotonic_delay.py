"""What alignments cost in delay, against the equations in plain loops, and against what evaluation measures."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from streamtrans.evaluation import latency
from streamtrans.nn.monotonic import (
    delay_variance,
    differentiable_average_lagging,
    expected_delay,
    weighted_average_delay,
)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def looped_lagging(delay: list[float], source_length: int) -> float:
    """Cherry & Foster 2019: g'_i = max(g_i, g'_{i-1} + pace)."""
    pace, paced, total = source_length / len(delay), -math.inf, 0.0
    for i, g in enumerate(delay):
        paced = max(g, paced + pace)
        total += paced - i * pace
    return total / len(delay)


def test_expected_delay_is_the_equation() -> None:
    alpha = draw(1, 2, 3, 4, 5)
    for b, h, u in torch.cartesian_prod(*(torch.arange(n) for n in (2, 3, 4))).tolist():
        expected = sum((j + 1) * float(alpha[b, h, u, j]) for j in range(5))
        assert float(expected_delay(alpha)[b, h, u]) == pytest.approx(expected)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 7), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_lagging_is_the_one_that_is_measured(batch: int, targets: int, seed: int) -> None:
    """Training and evaluation agree on DAL, whatever the padding holds; expected delays may fall."""
    source_length = (1 + 9 * draw(seed, batch)).long()
    target_length = (1 + targets * draw(seed + 1, batch)).long().clamp(max=targets)
    delay = 1 + (source_length[:, None] - 1) * draw(seed + 2, batch, targets)
    rising = delay.cummax(-1).values
    padding = torch.arange(targets) >= target_length[:, None]
    dal, measured = (
        differentiable_average_lagging(x.masked_fill(padding, 1000), source_length, target_length)
        for x in (delay, rising)
    )
    for b, (length, source) in enumerate(zip(target_length, source_length, strict=True)):
        expected = looped_lagging(delay[b, :length].tolist(), int(source))
        assert float(dal[b]) == pytest.approx(expected)
        expected = latency.differentiable_average_lagging(rising[b, :length].tolist(), int(source))
        assert float(measured[b]) == pytest.approx(expected)


def test_lagging_of_heads() -> None:
    """Lengths (B, 1) serve all heads; a row without a target costs nothing; gradients are right."""
    delay = (9 * draw(1, 3, 2, 5)).requires_grad_()
    source, target = torch.tensor([[9], [7], [4]]), torch.tensor([[5], [3], [0]])
    dal = differentiable_average_lagging(delay, source, target)
    alone = differentiable_average_lagging(delay[1, 1], torch.tensor(7), torch.tensor(3))
    assert dal.shape == (3, 2) and (dal[2] == 0).all()
    torch.testing.assert_close(dal[1, 1], alone)
    assert gradcheck(lambda x: differentiable_average_lagging(x, source, target), delay)


def test_variance_over_heads_and_layers() -> None:
    delay = (9 * draw(1, 2, 3, 4, 5)).requires_grad_()  # (L, B, H, U)
    mask = torch.arange(5) < torch.tensor([5, 2, 0])[:, None]
    variance = delay_variance(delay, mask, over=(0, -2))
    assert variance.shape == (3,) and variance[2] == 0
    for b, length in enumerate((5, 2)):
        total = 0.0
        for i in range(length):
            g = delay[:, b, :, i].flatten().tolist()
            total += sum((x - sum(g) / 8) ** 2 for x in g) / 8
        assert variance[b].item() == pytest.approx(total / length)
    one_layer = torch.stack([delay_variance(delay[0, b]) for b in range(3)])
    torch.testing.assert_close(delay_variance(delay[0]), one_layer)
    assert (delay_variance(delay[0, :, :1]) == 0).all()
    assert gradcheck(lambda x: delay_variance(x, mask, over=(0, -2)), delay)


def test_slow_heads_weigh_most() -> None:
    delay = (9 * draw(1, 2, 3, 4, 5)).requires_grad_()  # (L, B, H, U)
    mask = torch.arange(5) < torch.tensor([5, 2, 0])[:, None]
    average = weighted_average_delay(delay, mask, over=(0, -2))
    for b, i in torch.cartesian_prod(torch.arange(3), torch.arange(5)).tolist():
        g = delay[:, b, :, i].flatten().tolist()
        expected = sum(math.exp(x) * x for x in g) / sum(math.exp(x) for x in g)
        assert average[b, i].item() == pytest.approx(expected if mask[b, i] else 0)
    late = torch.tensor([[1000.0], [1.0]])
    torch.testing.assert_close(weighted_average_delay(late), torch.tensor([1000.0]))
    assert gradcheck(lambda x: weighted_average_delay(x, mask, over=(0, -2)), delay)
