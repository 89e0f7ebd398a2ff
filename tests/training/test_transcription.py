"""The loss of a recogniser, against the sum over every path there is; and what an intermediate loss adds."""

from __future__ import annotations

import math
from itertools import groupby, product

import pytest
import torch
from torch import Tensor

from streamtrans.models.recognizer import Recognizer, RecognizerConfig
from streamtrans.training.transcription import Transcription

CONFIG = RecognizerConfig(
    name="toy", language="en", vocabulary=6, mels=5, subsampling=2, dim=8, heads=2, hidden=12, layers=2,
    kernel=3, window=5, chunk=1, piece=8, dropout=0.0,
)  # fmt: skip


def objective(intermediate: float = 0.0) -> Transcription:
    torch.manual_seed(0)
    return Transcription(Recognizer(CONFIG), intermediate)


def by_all_paths(logits: Tensor, labels: list[int]) -> float:
    """-ln of the probability of all paths that collapse to the labels (Graves et al. 2006, eq. 3)."""
    p = logits.double().softmax(-1)
    total = 0.0
    for path in product(range(logits.shape[1]), repeat=len(logits)):
        if [label for label, _ in groupby(path) if label] == labels:
            total += math.prod(p[t, label].item() for t, label in enumerate(path))
    return -math.log(total)


def test_it_is_the_sum_over_all_paths() -> None:
    """Of rows of unlike length, with a repeated label, and one without any."""
    logits = 2 * torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1))
    labels, lengths = torch.tensor([[4, 4, 5], [5, 0, 0], [0, 0, 0]]), torch.tensor([3, 1, 0])
    frames = torch.tensor([10, 6, 9])  # 5, 3 and 4 states
    expected = (
        by_all_paths(logits[0], [4, 4, 5])
        + by_all_paths(logits[1, :3], [5])
        + by_all_paths(logits[2, :4], [])
    )
    loss = objective().loss(logits, frames, labels, lengths)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_more_labels_than_frames_teach_nothing() -> None:
    """An infinite loss would make every weight NaN at once."""
    logits = torch.randn(1, 3, 6, requires_grad=True)
    labels = torch.tensor([[4, 4, 5]])  # needs four frames
    loss = objective().loss(logits, torch.tensor([6]), labels, torch.tensor([3]))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()


def test_training_adds_the_loss_halfway() -> None:
    made = objective(0.25)
    x, frames = torch.randn(2, 12, 5), torch.tensor([12, 8])
    labels, lengths = torch.tensor([[4, 5], [4, 0]]), torch.tensor([2, 1])
    early, last = (made.loss(y, frames, labels, lengths) for y in made.model.halfway(x))
    loss, plain = made.train()(x, frames, labels, lengths)
    torch.testing.assert_close(loss, 0.75 * last + 0.25 * early)
    torch.testing.assert_close(plain, last)
    assert (early - last).abs().item() > 1e-3 and not plain.requires_grad
    loss, plain = made.eval()(x, frames, labels, lengths)
    assert loss.item() == plain.item() == pytest.approx(last.item(), rel=1e-5)


def test_what_is_behind_a_row_is_not_heard() -> None:
    """A short utterance beside a long one costs what it costs alone, whatever its padding."""
    made = objective().eval()
    x, frames = torch.randn(2, 12, 5), torch.tensor([12, 6])
    labels, lengths = torch.tensor([[4, 5], [5, 0]]), torch.tensor([2, 1])
    both = made(x, frames, labels, lengths)[1]
    x[1, 6:] = 100
    alone = [made(x[i : i + 1, :n], *(y[i : i + 1] for y in (frames, labels, lengths)))[1]
             for i, n in enumerate((12, 6))]  # fmt: skip
    torch.testing.assert_close(both, sum(alone))
    torch.testing.assert_close(made(x, frames, labels, lengths)[1], both)
