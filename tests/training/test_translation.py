"""What a step differentiates: scheduled sampling, latency losses and the policy head's objective, on tiny models."""

from __future__ import annotations

import functools

import fakes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from streamtrans.models.model import Model
from streamtrans.nn.monotonic import expected_delay
from streamtrans.training.corpus import Batch, Pairs
from streamtrans.training.objective import FULL, Confidence, Translation, visible_pieces

PAD, BOS, EOS = 0, 2, 3


@functools.cache
def batch(rows: int = 40, seed: int = 0) -> Batch:
    """Sentences and the same backwards."""
    lines = fakes.sentences(rows, seed, 6)
    pairs = [(line, " ".join(line.split()[::-1])) for line in lines]
    return Pairs.encode(pairs, fakes.vocabulary()).batch(np.arange(rows), BOS, PAD)


def ends_word() -> Tensor:
    return torch.tensor(fakes.vocabulary().ends_word)


def system(name: str, seed: int = 0, **changes: object) -> Model:
    return fakes.system(name, seed, Model, **changes).float().requires_grad_(True)


def waiting(k: int, rows: int = 40) -> Tensor:
    return torch.full((rows,), k)


def seen(k: int) -> Tensor:
    b = batch()
    return visible_pieces(b.source, b.shifted, ends_word(), waiting(k), PAD, EOS)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_sampling_replaces_its_share_of_inputs_by_predictions(share: float) -> None:
    """Each input is the gold piece or what the model predicts from the gold before it; bos and pad stay."""
    torch.manual_seed(0)
    b, model = batch(), system("gru-wait-k").eval()
    objective, visible = Translation(model, ends_word()), seen(2)
    predicted = model.logits(model(b.source, b.shifted, visible)).argmax(-1)
    inputs = objective._sampled(b.source, b.shifted, visible, share)
    assert torch.equal(inputs[:, 0], b.shifted[:, 0])
    assert torch.equal(inputs[b.shifted == PAD], b.shifted[b.shifted == PAD])
    gold, guess = b.shifted[:, 1:], predicted[:, :-1]
    new, differs = inputs[:, 1:], (gold != guess) & (gold != PAD)
    assert ((new == gold) | (new == guess)).all()
    count = int(differs.sum())
    replaced = int((new == guess)[differs].sum())
    assert count > 300
    assert abs(replaced - share * count) <= 4 * (share * (1 - share) * count) ** 0.5


def test_with_sampling_the_gold_targets_stay() -> None:
    """All inputs predicted: the loss is the cross-entropy of the gold, and what is visible follows the gold words."""
    b, model = batch(), system("gru-wait-k").eval()
    visible, kept = seen(2), b.target != PAD
    with torch.no_grad():
        predicted = model.logits(model(b.source, b.shifted, visible)).argmax(-1)
    shifted = torch.cat((b.shifted[:, :1], predicted[:, :-1]), dim=1)
    shifted = torch.where(b.shifted == PAD, PAD, shifted)
    logits = model.logits(model(b.source, shifted, visible))
    expected = F.cross_entropy(logits[kept], b.target[kept], reduction="sum")
    loss, plain = Translation(model, ends_word())(b.source, b.shifted, b.target, waiting(2), 1.0)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(plain, expected)
    gold, _ = Translation(model, ends_word())(b.source, b.shifted, b.target, waiting(2), 0.0)
    assert (gold - expected).abs() > 0.1


@pytest.mark.parametrize("name", fakes.MONOTONIC)
def test_in_training_the_alignment_is_expected_and_in_use_hard(name: str) -> None:
    b, model = batch(), system(name)
    layers = 2 if name.startswith("mma") else 1
    _, alignments = model.train().align(b.source, b.shifted, seen(FULL))
    assert [a.shape[1] for a in alignments] == [model.config.heads] * layers
    for alignment in alignments:
        torch.testing.assert_close(alignment.sum(-1), torch.ones_like(alignment[..., 0]))
        padding = (b.source == PAD)[:, None, None].expand_as(alignment)
        assert (alignment[padding] == 0).all() and ((alignment > 0.01) & (alignment < 0.9)).any()
    _, alignments = model.eval().align(b.source, b.shifted, seen(FULL))
    assert alignments == ()
    again = [model(b.source, b.shifted, seen(FULL)) for _ in range(2)]
    assert torch.equal(*again)


@pytest.mark.parametrize("name", fakes.MONOTONIC)
def test_the_latency_loss_pulls_every_head_to_stop_sooner(name: str) -> None:
    """The gradient of what `latency` adds: a larger bias, that is to stop sooner, lowers it."""
    b, model = batch(), system(name).train()
    gradients = []
    for latency in (0.0, 10.0):
        torch.manual_seed(1)
        objective = Translation(model, ends_word(), latency=latency)
        objective.train()
        loss, _ = objective(b.source, b.shifted, b.target, waiting(FULL))
        model.zero_grad()
        loss.backward()
        biases = [p.grad for n, p in model.named_parameters() if n.endswith("cross.bias")]
        gradients.append(torch.cat([g.flatten() for g in biases if g is not None]))
    assert (gradients[1] - gradients[0] < 0).all()


def delays(model: Model) -> Tensor:
    """(B, heads of all layers, U), the expected delay of each."""
    b = batch()
    torch.manual_seed(9)
    with torch.no_grad():
        _, alignments = model.train().align(b.source, b.shifted, seen(FULL))
    return expected_delay(torch.cat(alignments, dim=1))


def trained(name: str, latency: float, variance: float) -> Tensor:
    torch.manual_seed(0)
    b, model = batch(), system(name)
    objective = Translation(model, ends_word(), 0.1, latency, variance).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(12):
        loss, _ = objective(b.source, b.shifted, b.target, waiting(FULL))
        optimizer.zero_grad()
        (loss / len(b.source)).backward()
        optimizer.step()
    return delays(model)


def test_latency_makes_a_model_faster_and_variance_brings_its_heads_together() -> None:
    free = trained("mma-h", 0.0, 0.0)
    fast, close = trained("mma-h", 5.0, 0.0), trained("mma-h", 0.0, 5.0)
    assert fast.mean() < free.mean() - 0.3
    assert close.var(1).mean() < 0.7 * free.var(1).mean()


def test_the_latency_losses_are_for_training_only() -> None:
    b, model = batch(), system("mma-h").eval()
    losses = [
        Translation(model, ends_word(), 0.1, latency, latency).eval()(
            b.source, b.shifted, b.target, waiting(FULL)
        )
        for latency in (0.0, 5.0)
    ]
    assert losses[0] == losses[1]


def test_the_policy_head_learns_whether_a_piece_stays() -> None:
    """Better than the base rate on sentences it was not trained on; nothing but the head has moved."""
    model = system("adaptive", seed=2)
    for name, weight in model.named_parameters():
        if "cross.out" in name:  # so that the source decides
            weight.data *= 10
    objective = Confidence(model, ends_word()).train()
    assert model.head is not None
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    head = list(model.head.parameters())
    assert [p for p in model.parameters() if p.requires_grad] == head
    optimizer = torch.optim.AdamW(head, lr=2e-2)
    for step in range(60):
        b = batch(seed=step % 6)
        loss, plain = objective(b.source, b.shifted, b.target, torch.randint(1, 6, (40,)))
        assert torch.equal(loss, plain) and not plain.requires_grad
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]) != name.startswith("head."), name
    b, k = batch(seed=99), waiting(2)
    with torch.no_grad():
        loss, _ = objective(b.source, b.shifted, b.target, k)
        stays = agreement(model, b, k)
    rate = stays.mean()
    base = F.binary_cross_entropy(rate.expand_as(stays), stays, reduction="sum")
    assert 0.1 < float(rate) < 0.9 and float(loss) < 0.95 * float(base)


def agreement(model: Model, b: Batch, k: Tensor) -> Tensor:
    """Is the likeliest piece with k words READ ahead the likeliest with all? For each target piece."""
    likeliest = []
    for some in (k, torch.full_like(k, FULL)):
        visible = visible_pieces(b.source, b.shifted, ends_word(), some, PAD, EOS)
        likeliest.append(model.logits(model(b.source, b.shifted, visible)).argmax(-1))
    return (likeliest[0] == likeliest[1]).float()[b.target != PAD]


def test_the_policy_loss_is_the_binary_cross_entropy_of_what_stays() -> None:
    model = system("adaptive", seed=2)
    objective = Confidence(model, ends_word())
    b, k = batch(), waiting(1)
    assert model.head is not None
    with torch.no_grad():
        loss, _ = objective(b.source, b.shifted, b.target, k)
        x = model.eval()(b.source, b.shifted, seen(1))
        chance = model.head(x, model.logits(x)).sigmoid()[b.target != PAD]
        expected = F.binary_cross_entropy(chance, agreement(model, b, k), reduction="sum")
    torch.testing.assert_close(loss, expected)
