"""Cross-attention of every kind: under the law, and against torch's own or a plain formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from contract_cross import verify_cross
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from streamtrans.nn.cross import Cross, CrossAttention, FixedContext
from streamtrans.nn.monotonic_attention import MonotonicAttention

ROWS, TARGET, SOURCE, DIM = 3, 6, 9, 12
LOOKBACK = {"hard-monotonic": 1, "mocha": 3, "infinite-lookback": None}
KINDS: dict[str, Callable[[], Cross[Any]]] = {"fixed": lambda: FixedContext(DIM)}
for heads in (1, 3):
    for energy in ("dot", "additive"):
        KINDS[f"softmax {energy} {heads}"] = lambda h=heads, e=energy: CrossAttention(
            DIM, h, SOURCE, additive=e == "additive"
        )
        for kind, lookback in LOOKBACK.items():
            KINDS[f"{kind} {energy} {heads}"] = lambda h=heads, e=energy, back=lookback: (
                MonotonicAttention(DIM, h, SOURCE, back, e == "additive")
            )


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(name: str) -> Cross[Any]:
    torch.manual_seed(1)
    return KINDS[name]().double().eval()


READ_BEFORE = st.lists(
    st.lists(st.integers(1, SOURCE), min_size=TARGET, max_size=TARGET).map(sorted),
    min_size=ROWS,
    max_size=ROWS,
)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=5, deadline=None)
@given(visible=READ_BEFORE, seed=st.integers(0, 1000))
def test_obeys_the_law_of_two_streams(name: str, visible: list[list[int]], seed: int) -> None:
    x, memory = random(ROWS, TARGET, DIM, seed=seed), random(ROWS, SOURCE, DIM, seed=seed + 1)
    verify_cross(built(name), x, memory, torch.tensor(visible), seed)


@pytest.mark.parametrize("name", KINDS)
def test_a_row_that_has_read_nothing_is_finite(name: str) -> None:
    """An idle row of a batch that is padded to a fixed size has READ nothing."""
    module = built(name)
    y, stopped, _ = module.step(random(2, 1, DIM), module.init_state(2))
    assert y.isfinite().all() and (stopped is None or stopped.shape == (2,))


@pytest.mark.parametrize("name", KINDS)
def test_every_weight_has_a_gradient_in_training(name: str) -> None:
    module = built(name).train()
    y, _ = module(random(2, 5, DIM), random(2, SOURCE, DIM, seed=1), torch.full((2, 5), SOURCE))
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.count_nonzero() for p in module.parameters())


def test_softmax_attention_is_torchs_multihead_attention() -> None:
    module = built("softmax dot 3")
    assert isinstance(module, CrossAttention)
    theirs = nn.MultiheadAttention(DIM, 3, bias=False, batch_first=True).double()
    weights = torch.cat((module.query.weight, module.key_value.weight))
    theirs.load_state_dict({"in_proj_weight": weights, "out_proj.weight": module.out.weight})
    x, memory = random(2, 5, DIM), random(2, SOURCE, DIM, seed=1)
    visible = torch.tensor([[1, 2, 2, 7, 9], [3, 3, 4, 8, 8]])
    hidden = (torch.arange(SOURCE) >= visible[..., None]).repeat_interleave(3, dim=0)
    expected, _ = theirs(x, memory, memory, attn_mask=hidden, need_weights=False)
    torch.testing.assert_close(module(x, memory, visible)[0], expected)


@pytest.mark.parametrize("heads", [1, 3])
@torch.no_grad()
def test_additive_attention_is_its_formula(heads: int) -> None:
    """c = sum_j softmax_j(v tanh(W s + U h_j)) V h_j (Bahdanau et al. 2015, appendix A.1.2), one query at a time."""
    module = built(f"softmax additive {heads}")
    assert isinstance(module, CrossAttention) and module.energy is not None
    x, memory = random(1, 4, DIM)[0], random(1, SOURCE, DIM, seed=1)[0]
    visible = [1, 4, 4, 9]
    w, out, size = module.query.weight, module.out.weight, DIM // heads
    u, v = module.key_value.weight.chunk(2)
    rows = []
    for query, see in zip(x, visible, strict=True):
        found = []
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            energies = [
                float(module.energy.v[h] @ torch.tanh(w[part] @ query + u[part] @ memory[j]))
                for j in range(see)
            ]
            weights = torch.tensor(energies, dtype=torch.float64).softmax(0)
            found.append(sum(weights[j] * (v[part] @ memory[j]) for j in range(see)))
        rows.append(out @ torch.cat(found))  # type: ignore[arg-type]
    y, _ = module(x[None], memory[None], torch.tensor([visible]))
    torch.testing.assert_close(y[0], torch.stack(rows))


def test_a_fixed_context_is_the_newest_source_position_and_asks_nothing() -> None:
    module = built("fixed")
    assert isinstance(module, FixedContext)
    x, memory = random(2, 3, DIM), random(2, SOURCE, DIM, seed=1)
    visible = torch.tensor([[1, 1, 9], [2, 5, 6]])
    y, alignment = module(x, memory, visible)
    assert alignment is None and torch.equal(y, module(x + 1, memory, visible)[0])
    for b in range(2):
        for u in range(3):
            expected = module.out.weight @ memory[b, visible[b, u] - 1]
            torch.testing.assert_close(y[b, u], expected)
