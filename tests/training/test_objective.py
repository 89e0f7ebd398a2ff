"""The loss against torch's, and what a target piece sees against a walk over the words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from streamtrans.policy import Action, Full, Policy, Progress, WaitK
from streamtrans.training.objective import FULL, SmoothedCrossEntropy, visible_pieces

PAD, BOS, EOS, INNER, END = 0, 2, 3, 4, 5  # INNER goes on, END ends a word
ENDS = torch.tensor([False, False, False, False, False, True])


def smoothed(x: Tensor, weight: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    loss, plain = SmoothedCrossEntropy.apply(x, weight, target, smoothing)  # type: ignore[no-untyped-call]
    return loss, plain


def losses(
    x: Tensor, weight: Tensor, target: Tensor, smoothing: float
) -> tuple[list[Tensor], list[Tensor]]:
    """Loss and both gradients: ours, and torch's in float64."""
    results: list[list[Tensor]] = []
    for dtype in (x.dtype, torch.float64):
        a = x.detach().to(dtype).requires_grad_()
        b = weight.detach().to(dtype).requires_grad_()
        if not results:
            loss, _ = smoothed(a, b, target, smoothing)
        else:
            loss = F.cross_entropy(a @ b.T, target, label_smoothing=smoothing, reduction="sum")
        torch.autograd.backward(3 * loss)  # a factor, as a mean over pieces has one
        assert a.grad is not None and b.grad is not None
        results.append([loss.detach().double(), a.grad.double(), b.grad.double()])
    return results[0], results[1]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [1, 512, 513, 1200])
def test_the_loss_is_torchs(smoothing: float, dtype: torch.dtype, rows: int) -> None:
    """Also with rows that do not fill a chunk, or fill several; logits are float32 inside."""
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, 8, generator=generator).to(dtype)
    weight = torch.randn(23, 8, generator=generator).to(dtype)
    target = torch.randint(23, (rows,), generator=generator)
    for ours, theirs in zip(*losses(x, weight, target, smoothing), strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-6 * max(1.0, scale))


def test_the_plain_loss_has_no_smoothing_and_no_gradient() -> None:
    x = torch.randn(20, 8, requires_grad=True)
    weight, target = torch.randn(23, 8), torch.randint(23, (20,))
    _, plain = smoothed(x, weight, target, 0.3)
    assert not plain.requires_grad
    torch.testing.assert_close(plain, F.cross_entropy(x @ weight.T, target, reduction="sum"))


def test_the_loss_survives_large_logits() -> None:
    """exp of 1000 is infinite: the largest has to be taken off before."""
    x, weight = torch.full((2, 4), 50.0, requires_grad=True), torch.eye(4) * 20
    loss, _ = smoothed(x, weight, torch.tensor([0, 1]), 0.1)
    torch.autograd.backward(loss)
    assert loss.isfinite() and x.grad is not None and x.grad.isfinite().all()


def test_under_autocast_the_loss_is_close_to_torchs() -> None:
    """Products in bfloat16, sums in float32: the mean over many rows stays within a percent."""
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(600, 32, generator=generator), torch.randn(50, 32, generator=generator)
    target = torch.randint(50, (600,), generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = smoothed(x, weight, target, 0.1)
    expected = F.cross_entropy(x @ weight.T, target, label_smoothing=0.1, reduction="sum")
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-2, atol=0)


def words(rng: np.random.Generator, count: int) -> list[list[int]]:
    """Words of one to three pieces."""
    return [[INNER] * int(rng.integers(0, 3)) + [END] for _ in range(count)]


def seen_by(
    source: list[list[int]], target: list[list[int]], policy: Policy
) -> tuple[list[int], list[int], list[int]]:
    """Source pieces, decoder input, and for each target piece the source pieces a session that
    follows the policy has READ when it writes it; the end of the source is one READ, with its
    piece.
    """
    units = [*source, [EOS]]
    written, read, pieces = 0, 0, 0
    shifted, visible = [BOS], []
    for piece in [p for word in target for p in word] + [EOS]:
        while policy.decide(Progress(read, written, read == len(units))) is Action.READ:
            pieces += len(units[read])
            read += 1
        visible.append(pieces)
        shifted.append(piece)
        written += piece == END
    return [p for unit in units for p in unit], shifted[:-1], visible


def padded(rows: list[list[int]], extra: int) -> Tensor:
    longest = max(map(len, rows)) + extra
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


@pytest.mark.parametrize("extra", [0, 3])
def test_what_is_visible_is_what_a_session_has_read(extra: int) -> None:
    """Training must see exactly what serving will: each word of the source in whole, one word more
    for each word written, everything from the end on. k is also larger than any source.
    """
    rng = np.random.default_rng(0)
    ks = [1, 2, 3, 5, 9, 40, FULL]
    policies = [WaitK(k) if k < FULL else Full() for k in ks]
    for _ in range(20):
        rows = [
            seen_by(words(rng, int(rng.integers(0, 9))), words(rng, int(rng.integers(0, 9))), p)
            for p in policies
        ]
        source, target = padded([r[0] for r in rows], extra), padded([r[1] for r in rows], extra)
        actual = visible_pieces(source, target, ENDS, torch.tensor(ks), PAD, EOS)
        assert actual.shape == target.shape
        for row, (_, shifted, visible) in zip(actual.tolist(), rows, strict=True):
            assert row[: len(shifted)] == visible


def test_padding_sees_at_least_one_piece_and_never_padding() -> None:
    """Attention to nothing is 0 / 0, and to padding teaches the model to look there."""
    source = torch.tensor([[END, EOS, PAD, PAD], [END, END, END, EOS]])
    target = torch.tensor([[BOS, END, END, END, PAD], [BOS, PAD, PAD, PAD, PAD]])
    visible = visible_pieces(source, target, ENDS, torch.tensor([1, FULL]), PAD, EOS)
    assert visible.tolist() == [[1, 2, 2, 2, 2], [4, 4, 4, 4, 4]]


def test_a_word_of_several_pieces_is_read_at_once() -> None:
    source = torch.tensor([[INNER, INNER, END, END, EOS]])
    target = torch.tensor([[BOS, INNER, END, END]])
    visible = visible_pieces(source, target, ENDS, torch.tensor([1]), PAD, EOS)
    assert visible.tolist() == [[3, 3, 4, 5]]
