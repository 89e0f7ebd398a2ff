"""Monotonic attention as a module: hard decisions against a scan in loops, and the expected alignment against them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from streamtrans.nn.monotonic import expected_delay
from streamtrans.nn.monotonic_attention import MonotonicAttention

TARGET, SOURCE, DIM = 7, 9, 12
KINDS = [(h, back, e) for h in (1, 3) for back in (1, 3, None) for e in ("dot", "additive")]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(heads: int, lookback: int | None, energy: str, bias: float = 0.0) -> MonotonicAttention:
    torch.manual_seed(3)
    module = MonotonicAttention(DIM, heads, SOURCE, lookback, energy == "additive").double().eval()
    torch.nn.init.constant_(module.bias, bias)
    return module


def energies(module: MonotonicAttention, x: Tensor, memory: Tensor, kind: int, head: int) -> Tensor:
    """kind 0: to stop, 1: to look back. x: (U, D), memory: (S, D) -> (U, S)."""
    size = DIM // module.heads
    part = slice(kind * DIM + head * size, kind * DIM + (head + 1) * size)
    query, key = x @ module.query.weight[part].T, memory @ module.key.weight[part].T
    if len(module.energies):
        v = module.energies[kind].v[head]
        return torch.stack([torch.stack([v @ torch.tanh(q + k) for k in key]) for q in query])
    return query @ key.T / size**0.5


def scanned(
    module: MonotonicAttention, x: Tensor, memory: Tensor, visible: list[int]
) -> tuple[Tensor, list[list[bool]]]:
    """Algorithm 1 of Raffel et al. 2017 and of Chiu & Raffel 2018, one head at a time: (U, D), did each head stop."""
    size, rows, stops = DIM // module.heads, [], []
    place = [0] * module.heads
    for u, see in enumerate(visible):
        found, stopped = [], []
        for h in range(module.heads):
            stop = energies(module, x, memory, 0, h)[u] + module.bias[h, 0, 0]
            j = place[h]
            while j < see and stop[j] < 0:
                j += 1
            stopped.append(j < see)
            place[h] = j = min(j, see - 1)
            value = memory @ module.value.weight[h * size : (h + 1) * size].T
            first = 0 if module.lookback is None else max(0, j - module.lookback + 1)
            if module.lookback == 1:
                found.append(value[j])
            else:
                soft = energies(module, x, memory, 1, h)[u, first : j + 1].softmax(0)
                found.append(soft @ value[first : j + 1])
        rows.append(module.out.weight @ torch.cat(found))
        stops.append(stopped)
    return torch.stack(rows), stops


@pytest.mark.parametrize(("heads", "lookback", "energy"), KINDS)
def test_hard_decisions_are_the_algorithm(heads: int, lookback: int | None, energy: str) -> None:
    """Energies around 0, so that heads stop here and there; one that stops nowhere goes on from the last it saw."""
    module = built(heads, lookback, energy, bias=-0.3)
    visible = [1, 2, 2, 5, 6, 9, 9]
    for seed in range(3):
        x, memory = 2 * random(1, TARGET, DIM, seed=seed), 2 * random(1, SOURCE, DIM, seed=seed + 9)
        expected, _ = scanned(module, x[0], memory[0], visible)
        y, alignment = module(x, memory, torch.tensor([visible]))
        assert alignment is None
        torch.testing.assert_close(y[0], expected)


@pytest.mark.parametrize(("heads", "lookback", "energy"), KINDS)
def test_a_step_says_whether_all_heads_stopped(
    heads: int, lookback: int | None, energy: str
) -> None:
    module = built(heads, lookback, energy, bias=0.3 if heads > 1 else -0.7)
    visible, said = [2, 3, 4, 6, 7, 8, 9], []
    expected = []
    for seed in range(4):
        x, memory = 2 * random(1, TARGET, DIM, seed=seed), 2 * random(1, SOURCE, DIM, seed=seed + 9)
        state, read = module.init_state(1), 0
        for u, see in enumerate(visible):
            if see > read:
                state, read = module.append(memory[:, read:see], state), see
            _, stopped, state = module.step(x[:, u : u + 1], state)
            said.append(bool(stopped))
        expected += [all(heads) for heads in scanned(module, x[0], memory[0], visible)[1]]
    assert said == expected and len(set(said)) == 2


@pytest.mark.parametrize(("heads", "lookback", "energy"), KINDS)
def test_where_all_is_certain_the_expected_alignment_is_the_hard_one(
    heads: int, lookback: int | None, energy: str
) -> None:
    """Stop energies far from 0: probabilities 0 and 1, which the noise of training does not change."""
    module = built(heads, lookback, energy)
    with torch.no_grad():
        if energy == "additive":
            module.energies[0].v *= 1e6
        else:
            module.query.weight[:DIM] *= 1e6
    x, memory = random(2, TARGET, DIM), random(2, SOURCE, DIM, seed=1)
    visible = torch.tensor([[1, 2, 4, 4, 6, 9, 9], [3, 3, 3, 5, 7, 7, 8]])
    hard, nothing = module(x, memory, visible)
    expected, alignment = module.train()(x, memory, visible)
    assert nothing is None and alignment.shape == (2, heads, TARGET, SOURCE)
    torch.testing.assert_close(alignment, (alignment > 0.5).to(alignment.dtype))
    torch.testing.assert_close(alignment.sum(-1), torch.ones_like(alignment[..., 0]))
    torch.testing.assert_close(expected, hard, rtol=1e-4, atol=1e-5)


def test_training_has_noise_and_use_has_none() -> None:
    module = built(3, None, "dot")
    x, memory, visible = random(2, 4, DIM), random(2, SOURCE, DIM), torch.full((2, 4), SOURCE)
    assert torch.equal(module(x, memory, visible)[0], module(x, memory, visible)[0])
    module.train()
    assert not torch.equal(module(x, memory, visible)[0], module(x, memory, visible)[0])


@pytest.mark.parametrize("energy", ["dot", "additive"])
def test_a_larger_bias_stops_sooner(energy: str) -> None:
    """The expected delay falls with the bias of each head: what a latency loss pulls at."""
    module = built(3, None, energy).train()
    x, memory = random(2, 4, DIM), random(2, SOURCE, DIM, seed=1)
    _, alignment = module(x, memory, torch.full((2, 4), SOURCE))
    expected_delay(alignment).sum().backward()
    assert module.bias.grad is not None and (module.bias.grad < 0).all()


@pytest.mark.parametrize("lookback", [1, 3, None])
def test_heads_that_never_stop_rest_at_the_last_position(lookback: int | None) -> None:
    module = built(3, lookback, "dot", bias=-1e9)
    x, memory = random(2, TARGET, DIM), random(2, SOURCE, DIM, seed=1)
    visible = torch.tensor([[1, 2, 4, 4, 6, 9, 9], [3, 3, 3, 5, 7, 7, 8]])
    state = module.append(memory[:, :5], module.init_state(2))
    _, stopped, state = module.step(x[:, :1], state)
    assert not stopped.any() and (state.position == 4).all()
    if lookback == 1:
        last = memory.gather(1, (visible - 1)[..., None].expand(-1, -1, DIM))
        expected = module.out(module.value(last))
        torch.testing.assert_close(module(x, memory, visible)[0], expected)


def test_a_refused_step_moves_no_head() -> None:
    """The engine drops a WRITE whose heads found no stop; the next one scans again from where the last kept one was."""
    module = built(1, 1, "dot", bias=-1e9)
    x, memory = random(1, 2, DIM), random(1, SOURCE, DIM, seed=1)
    pool, row = module.init_state(2), torch.tensor([1])
    pool.put(row, module.append(memory[:, :4], pool.take(row)))
    _, stopped, refused = module.step(x[:, :1], pool.take(row))
    assert not stopped and int(refused.position) == 3 and int(pool.position[1]) == 0
    torch.nn.init.constant_(module.bias, 1e9)
    y, stopped, _ = module.step(x[:, :1], pool.take(row))
    assert stopped
    torch.testing.assert_close(y[0, 0], module.out.weight @ module.value.weight @ memory[0, 0])
