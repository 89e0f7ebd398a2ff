"""Monotonic attention against its equations in plain loops, its gradients against finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from streamtrans.nn.monotonic import (
    delay_variance,
    differentiable_average_lagging,
    expected_alignment,
    expected_chunk,
    expected_delay,
    expected_lookback,
    hard_alignment,
    weighted_average_delay,
)

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=40, deadline=None, derandomize=True)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def closed(p: Tensor) -> Tensor:
    """A probability of 1 at the last source position: a head stops somewhere."""
    return torch.cat((p[..., :-1], torch.ones_like(p[..., :1])), dim=-1)


def extreme(seed: int, *shape: int) -> Tensor:
    """Probabilities of which many are 0, 1 or close to them."""
    kind, p = (6 * draw(seed, *shape)).long(), draw(seed + 1, *shape)
    values = (torch.zeros_like(p), p * 0 + 1e-7, p * 0 + 1 - 1e-7, torch.ones_like(p))
    for number, value in enumerate(values):
        p = torch.where(kind == number, value, p)
    return closed(p)


def looped_alignment(p: list[list[float]]) -> list[list[float]]:
    """Raffel et al. 2017: all ways from where target i - 1 is."""
    before = [1.0] + [0.0] * (len(p[0]) - 1)
    alpha = []
    for row in p:
        before = [
            row[j]
            * sum(before[k] * math.prod(1 - row[m] for m in range(k, j)) for k in range(j + 1))
            for j in range(len(row))
        ]
        alpha.append(before)
    return alpha


def alignment_of_many(p: Tensor) -> Tensor:
    """The same for (U, S) where the loops would take minutes: ways[k] is the product from k to j - 1."""
    before = torch.zeros_like(p[0])
    before[0] = 1
    alpha = []
    for row in p:
        ways, now = torch.zeros_like(row), []
        for j in range(len(row)):
            ways[j] = 1
            now.append(row[j] * (before * ways).sum())
            ways = ways * (1 - row[j])
        before = torch.stack(now)
        alpha.append(before)
    return torch.stack(alpha)


def looped_window(alpha: list[float], energy: list[float], width: int) -> list[float]:
    """One row of MoChA; with a width of S or more, of infinite lookback."""
    beta = [0.0] * len(alpha)
    for k, mass in enumerate(alpha):
        first = max(0, k - width + 1)
        highest = max(energy[first : k + 1])
        weight = {j: math.exp(energy[j] - highest) for j in range(first, k + 1)}
        for j in weight:
            beta[j] += mass * weight[j] / sum(weight.values())
    return beta


def windowed(alpha: Tensor, energy: Tensor, width: int) -> Tensor:
    rows = zip(alpha.flatten(0, -2).tolist(), energy.flatten(0, -2).tolist(), strict=True)
    beta = [looped_window(a, u, width) for a, u in rows]
    return torch.tensor(beta, dtype=torch.float64).view(alpha.shape)


@quick
@given(sizes, sizes, sizes, seeds)
def test_expected_alignment_is_the_equation(
    batch: int, targets: int, sources: int, seed: int
) -> None:
    for p in (draw(seed, batch, 2, targets, sources), extreme(seed, batch, 2, targets, sources)):
        expected = [looped_alignment(rows) for rows in p.flatten(0, 1).tolist()]
        torch.testing.assert_close(
            expected_alignment(p), torch.tensor(expected, dtype=torch.float64).view(p.shape)
        )
    torch.testing.assert_close(alignment_of_many(p[0, 0]), torch.tensor(expected[0]).double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [extreme, draw])
def test_long_alignments_are_exact(kind: Callable[..., Tensor], dtype: torch.dtype) -> None:
    """200 x 200. The published way divides by products of 1 - p: after 40 positions of p = 0.9 they
    are 1e-40, and what was divided by them is nothing or not a number.
    """
    p = closed(kind(5, 200, 200)).to(dtype).requires_grad_()
    alpha = expected_alignment(p)
    assert alpha.dtype == torch.float32
    torch.testing.assert_close(
        alpha.detach().double(), alignment_of_many(p.detach().double()), rtol=2e-4, atol=1e-7
    )
    torch.testing.assert_close(alpha.sum(-1), torch.ones(200), rtol=0, atol=1e-4)
    out = draw(6, 200, 200)
    alpha.backward(out.float())
    exact = p.detach().double().requires_grad_()
    expected_alignment(exact).backward(out)
    assert p.grad is not None and exact.grad is not None
    tolerance = 1e-2 if dtype == torch.bfloat16 else 2e-4
    torch.testing.assert_close(p.grad.double(), exact.grad, rtol=tolerance, atol=tolerance)


def test_a_sharp_alignment_keeps_its_mass() -> None:
    """The last target starts at 150, where the product of 1 - p from the row's beginning on is 1e-150."""
    p = closed(torch.full((1, 3, 200), 0.9))
    p[0, 1] = 0
    p[0, 1, 150] = 1
    alpha = expected_alignment(p)
    assert alpha[0, 1, 150] == 1 and alpha[0, 1].sum() == 1
    torch.testing.assert_close(alpha[0, 2, 150:153], torch.tensor([0.9, 0.09, 0.009]))


def test_padding_after_the_last_position_gets_nothing() -> None:
    p = draw(1, 2, 3, 4, 6)
    p[0, ..., 3], p[0, ..., 4:], p[1, ..., 5] = 1, 0, 1
    alpha = expected_alignment(p)
    assert (alpha[0, ..., 4:] == 0).all()
    torch.testing.assert_close(alpha.sum(-1), torch.ones(2, 3, 4).double())
    torch.testing.assert_close(alpha[0, ..., :4], expected_alignment(p[0, ..., :4]))


@pytest.mark.parametrize("shape", [(2, 2, 3, 4), (5, 3), (1, 1, 6), (1, 6, 1)])
@pytest.mark.parametrize("kind", [draw, extreme])
def test_gradients_of_the_alignment(kind: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    """alpha is a polynomial in p, so its differences are right at 0 and 1 as well."""
    assert gradcheck(expected_alignment, kind(3, *shape).requires_grad_())


def test_an_alignment_of_nothing() -> None:
    assert expected_alignment(torch.zeros(0, 4, 3, 5)).shape == (0, 4, 3, 5)
    assert expected_alignment(torch.zeros(2, 0, 5)).shape == (2, 0, 5)
    with pytest.raises(ValueError, match="at least one source position"):
        expected_alignment(torch.zeros(2, 3, 0))


@quick
@given(sizes, sizes, st.integers(1, 9), st.sampled_from([1.0, 30.0, 3000.0]), seeds)
def test_chunks_are_the_equation(
    targets: int, sources: int, width: int, scale: float, seed: int
) -> None:
    """At any scale of energies: exp(3000) is no number, exp(-3000) is zero."""
    alpha = expected_alignment(closed(draw(seed, 2, 2, targets, sources)))
    energy = scale * (draw(seed + 1, 2, 2, targets, sources) - 0.5)
    beta = expected_chunk(alpha, energy, width)
    torch.testing.assert_close(beta, windowed(alpha, energy, width))
    torch.testing.assert_close(beta.sum(-1), alpha.sum(-1))


@quick
@given(sizes, sizes, st.sampled_from([1.0, 30.0, 3000.0]), seeds)
def test_lookback_is_the_equation(targets: int, sources: int, scale: float, seed: int) -> None:
    alpha = expected_alignment(closed(draw(seed, 2, 2, targets, sources)))
    energy = scale * (draw(seed + 1, 2, 2, targets, sources) - 0.5)
    beta = expected_lookback(alpha, energy)
    torch.testing.assert_close(beta, windowed(alpha, energy, sources))
    torch.testing.assert_close(beta.sum(-1), alpha.sum(-1))


@pytest.mark.parametrize("energy", [draw(2, 2, 3, 5), 40 * draw(2, 2, 3, 5)])
@pytest.mark.parametrize(
    "function",
    [expected_lookback, *(lambda a, u, w=w: expected_chunk(a, u, w) for w in (1, 2, 4, 9))],
)
def test_gradients_of_the_windows(
    function: Callable[[Tensor, Tensor], Tensor], energy: Tensor
) -> None:
    assert gradcheck(function, (draw(1, 2, 3, 5).requires_grad_(), energy.requires_grad_()))


@pytest.mark.parametrize("lowest", [-1e4, torch.finfo(torch.float32).min / 2, -math.inf])
@pytest.mark.parametrize("width", [1, 2, 9, None])
def test_energies_of_padding(width: int | None, lowest: float) -> None:
    """Also windows that lie in the padding alone leave results and gradients what they are without it."""

    def attend(alpha: Tensor, energy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        alpha, energy = alpha.clone().requires_grad_(), energy.clone().requires_grad_()
        beta = expected_chunk(alpha, energy, width) if width else expected_lookback(alpha, energy)
        (beta * (1 + torch.arange(beta.shape[-1]))).sum().backward()
        assert alpha.grad is not None and energy.grad is not None
        return beta.detach(), alpha.grad, energy.grad

    alpha, energy = draw(1, 2, 3, 9).float(), 5 * draw(2, 2, 3, 9).float()
    alpha[..., 4:], energy[..., 4:] = 0, lowest
    padded = attend(alpha, energy)
    for long, short in zip(padded, attend(alpha[..., :4], energy[..., :4]), strict=True):
        assert long.isfinite().all()
        torch.testing.assert_close(long[..., :4], short)
    assert (padded[0][..., 4:] == 0).all() and (padded[2][..., 4:] == 0).all()


def test_energies_that_are_not_visible() -> None:
    visible = torch.tensor([[1, 3, 3], [2, 5, 6]])
    hidden = torch.arange(6) >= visible[..., None]
    alpha = draw(1, 2, 3, 6).masked_fill(hidden, 0)
    energy = draw(2, 2, 3, 6)
    beta = expected_chunk(alpha, energy.masked_fill(hidden, math.nan), 3, visible)
    torch.testing.assert_close(beta, windowed(alpha, energy, 3))


@pytest.mark.parametrize("width", [0, -1])
def test_a_chunk_has_a_width(width: int) -> None:
    with pytest.raises(ValueError, match=f"at least one position wide, not {width}"):
        expected_chunk(torch.ones(1, 1, 1), torch.ones(1, 1, 1), width)


def test_long_windows_in_half_precision() -> None:
    alpha = expected_alignment(closed(draw(3, 1, 20, 200)).bfloat16())
    energy = (60 * draw(4, 1, 20, 200) - 30).bfloat16()
    for width in (8, None):
        beta = expected_chunk(alpha, energy, width) if width else expected_lookback(alpha, energy)
        expected = windowed(alpha.double(), energy.double(), width or 200)
        assert beta.dtype == torch.float32
        torch.testing.assert_close(beta.double(), expected, rtol=2e-4, atol=1e-6)
        torch.testing.assert_close(beta.sum(-1), torch.ones(1, 20), rtol=0, atol=1e-4)


def test_autocast_changes_nothing() -> None:
    p, energy = closed(draw(3, 2, 4, 5, 6)).float(), draw(4, 2, 4, 5, 6).float()

    def everything() -> list[Tensor]:
        x = p.clone().requires_grad_()
        alpha = expected_alignment(x)
        delay, length = expected_delay(alpha), torch.full((2, 1), 5)
        loss = differentiable_average_lagging(delay, length + 1, length).sum()
        loss = loss + delay_variance(delay).sum() + weighted_average_delay(delay).sum()
        windows = expected_chunk(alpha, energy, 3), expected_lookback(alpha, energy)
        (loss + (windows[0] * windows[1]).sum()).backward()
        assert x.grad is not None
        return [alpha, delay, loss, *windows, x.grad]

    expected = everything()
    with torch.autocast("cpu", torch.bfloat16):
        found = everything()
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32 and torch.equal(a, b)


def looped_stops(stop: list[list[bool]], visible: list[int], start: int) -> list[int]:
    positions = []
    for row, end in zip(stop, visible, strict=True):
        j = start
        while j < end - 1 and not row[j]:
            j += 1
        start = j
        positions.append(start)
    return positions


def rising(seed: int, batch: int, targets: int, sources: int) -> Tensor:
    return (1 + sources * draw(seed, batch, targets)).long().clamp(max=sources).cummax(-1).values


@quick
@given(sizes, sizes, sizes, st.sampled_from([0.1, 0.5, 0.9]), seeds)
def test_hard_alignment_is_the_loop(
    batch: int, targets: int, sources: int, often: float, seed: int
) -> None:
    stop = draw(seed, batch, 2, targets, sources) < often
    visible = rising(seed + 1, batch, targets, sources)
    start = (sources * draw(seed + 2, batch, 2)).long()
    for begin in (None, start):
        found = hard_alignment(stop, visible[:, None], begin)
        assert found.dtype == torch.long and found.shape == (batch, 2, targets)
        for b in range(batch):
            for h in range(2):
                first = 0 if begin is None else int(begin[b, h])
                assert found[b, h].tolist() == looped_stops(
                    stop[b, h].tolist(), visible[b].tolist(), first
                )


@quick
@given(sizes, sizes, sizes, seeds)
def test_certain_stops_are_hard_stops(batch: int, targets: int, sources: int, seed: int) -> None:
    """What is trained is what is used: where p is 0 or 1 the expectation is the decision."""
    stop = draw(seed, batch, targets, sources) < 0.4
    visible = rising(seed + 1, batch, targets, sources)
    place = torch.arange(sources)
    p = (stop & (place < visible[..., None])) | (place == visible[..., None] - 1)
    alpha = expected_alignment(p.float())
    position = hard_alignment(stop, visible)
    assert torch.equal(alpha, torch.nn.functional.one_hot(position, sources).float())
    assert torch.equal(expected_delay(alpha), position.float() + 1)


def test_a_head_takes_up_where_it_stopped() -> None:
    stop, visible = draw(1, 3, 2, 8, 9) < 0.2, rising(2, 3, 8, 9)[:, None]
    whole = hard_alignment(stop, visible)
    first = hard_alignment(stop[..., :3, :], visible[..., :3])
    rest = hard_alignment(stop[..., 3:, :], visible[..., 3:], first[..., -1])
    assert torch.equal(torch.cat((first, rest), dim=-1), whole)
