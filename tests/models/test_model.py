"""READ and WRITE in any order, in batches of any rows, against the whole sequence at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import contract
import fakes
import numpy as np
import pytest
import torch
from torch import Tensor

from streamtrans.models.model import Model, average
from streamtrans.nn.streaming import Streaming

ROWS, SOURCE, TARGET, VOCABULARY = 4, 11, 9, 17
ANOTHER = 7


def toy(system: str = "wait-k") -> Model:
    """A small system in float64 whose logits differ clearly."""
    sizes = dict(vocabulary=VOCABULARY, dim=16, hidden=24, window=5, memory=SOURCE)
    model = fakes.system(system, made=Model, **sizes)
    torch.nn.init.normal_(model.embedding.weight, std=0.5)
    return model


def ids(rows: int, length: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(VOCABULARY, (rows, length), generator=generator)


@dataclass
class Row:
    """One stream on its way: pieces READ, and for each WRITE how much had been READ, and its
    logits.
    """

    slot: int
    read: int = 0
    visible: list[int] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)


class Streams:
    """Some streams over a pool, stepped in batches as an engine steps them."""

    def __init__(self, model: Model, source: Tensor, target: Tensor, slots: list[int]) -> None:
        self.model, self.source, self.target = model, source, target
        self.rows = [Row(slot) for slot in slots]
        self.pool = model.init_state(max(slots) + 3)

    def read(self, which: list[int], lengths: list[int]) -> None:
        rows = [self.rows[i] for i in which]
        pieces = torch.full((len(rows), max(lengths), *self.source.shape[2:]), ANOTHER)
        pieces = pieces.to(self.source.dtype)
        for n, (i, row, length) in enumerate(zip(which, rows, lengths, strict=True)):
            pieces[n, :length] = self.source[i, row.read : row.read + length]
            row.read += length
        slots = torch.tensor([row.slot for row in rows])
        state = self.model.read(pieces, self.pool.take(slots), torch.tensor(lengths))
        self.pool.put(slots, state)

    def write(self, which: list[int], keep: list[bool]) -> None:
        """A step not kept is one the engine does not count: an end of the target too soon."""
        rows = [self.rows[i] for i in which]
        slots = torch.tensor([row.slot for row in rows])
        previous = torch.stack([self.target[i, len(self.rows[i].visible)] for i in which])
        logits, _, state = self.model.write(previous, self.pool.take(slots))
        kept = torch.tensor([n for n, keeps in enumerate(keep) if keeps], dtype=torch.long)
        self.pool.put(slots.index_select(0, kept), state.take(kept))
        for row, new, keeps in zip(rows, logits, keep, strict=True):
            if keeps:
                row.visible.append(row.read)
                row.logits.append(new)


def walk(streams: Streams, rng: np.random.Generator) -> None:
    """Any order of READs and WRITEs that is possible, until all targets are written."""
    while True:
        left = [i for i, row in enumerate(streams.rows) if len(row.visible) < TARGET]
        if not left:
            return
        some = rng.permutation(left)[: int(rng.integers(1, len(left) + 1))].tolist()
        writable = [i for i in some if streams.rows[i].read]
        readable = [i for i in some if streams.rows[i].read < SOURCE]
        if rng.random() < 0.5 and writable:
            streams.write(writable, [bool(rng.random() < 0.8) for _ in writable])
        elif readable:
            most = [min(4, SOURCE - streams.rows[i].read) for i in readable]
            streams.read(readable, [int(rng.integers(1, n + 1)) for n in most])


@pytest.mark.parametrize("system", fakes.STREAMING)
@pytest.mark.parametrize("seed", range(2))
def test_any_order_of_reads_and_writes_is_forward_with_what_was_visible(
    system: str, seed: int
) -> None:
    """Also with rows that wait, rows of a pool in any order, and steps that do not count."""
    model = toy(system)
    source, target = ids(ROWS, SOURCE, seed), ids(ROWS, TARGET, seed + 100)
    rng = np.random.default_rng(seed)
    streams = Streams(model, source, target, rng.permutation(7)[:ROWS].tolist())
    walk(streams, rng)
    visible = torch.tensor([row.visible for row in streams.rows])
    expected = model.logits(model(source, target, visible))
    actual = torch.stack([torch.stack(row.logits) for row in streams.rows])
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


STATES = 6


def states(rows: int, length: int, seed: int) -> Tensor:
    """Of a recogniser."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, length, STATES, generator=generator).double()


def direct(system: str = "wait-k") -> Model:
    sizes = dict(vocabulary=VOCABULARY, dim=16, hidden=24, window=5, memory=SOURCE)
    return fakes.system(system, made=Model, states=STATES, **sizes)


class Encoded(Streaming[Any]):
    """The source half of a direct model."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.encode(x)

    def init_state(self, batch: int) -> Any:
        return self.model.init_state(batch).encoder

    def step(self, x: Tensor, state: Any, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        assert self.model.input is not None
        return self.model.encoder.step(self.model.input(x), state, lengths)


@pytest.mark.parametrize("system", ["wait-k", "gru-wait-k"])
def test_states_obey_the_law(system: str) -> None:
    contract.verify(Encoded(direct(system)), states(3, SOURCE, 0), piece=5)


@pytest.mark.parametrize("system", fakes.STREAMING)
def test_states_in_any_order_of_reads_and_writes_are_forward(system: str) -> None:
    model, rng = direct(system), np.random.default_rng(3)
    source, target = states(ROWS, SOURCE, 1), ids(ROWS, TARGET, 2)
    streams = Streams(model, source, target, rng.permutation(7)[:ROWS].tolist())
    walk(streams, rng)
    visible = torch.tensor([row.visible for row in streams.rows])
    expected = model.logits(model(source, target, visible))
    actual = torch.stack([torch.stack(row.logits) for row in streams.rows])
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(model.logits(model(source.roll(1, 0), target, visible)), expected)


@pytest.mark.parametrize("system", fakes.STREAMING)
def test_a_session_after_another_in_the_same_slot(system: str) -> None:
    """What the last session of a slot READ and wrote is gone after its reset."""
    model, rng = toy(system), np.random.default_rng(5)
    first = Streams(model, ids(ROWS, SOURCE, 1), ids(ROWS, TARGET, 2), [3, 0, 2, 1])
    walk(first, rng)
    second = Streams(model, ids(ROWS, SOURCE, 3), ids(ROWS, TARGET, 4), [0, 1, 2, 3])
    second.pool = first.pool
    second.pool.reset(torch.arange(4))
    walk(second, rng)
    visible = torch.tensor([row.visible for row in second.rows])
    expected = model.logits(model(second.source, second.target, visible))
    actual = torch.stack([torch.stack(row.logits) for row in second.rows])
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("system", fakes.STREAMING)
def test_a_target_piece_sees_no_more_than_visible(system: str) -> None:
    """Teacher forcing must not leak: changing what was not READ yet changes nothing."""
    model = toy(system)
    source, target = ids(2, SOURCE, 0), ids(2, TARGET, 1)
    visible = torch.arange(1, TARGET + 1).expand(2, -1)
    before = model(source, target, visible)
    source[:, 5:] = (source[:, 5:] + 1) % VOCABULARY
    after = model(source, target, visible)
    assert torch.equal(before[:, :5], after[:, :5])
    if not model.config.monotonic:  # whose heads may have stopped before
        assert not torch.allclose(before[:, 5], after[:, 5])
    target[:, 6:] = (target[:, 6:] + 1) % VOCABULARY
    assert torch.equal(model(source, target, visible)[:, :6], after[:, :6])


@pytest.mark.parametrize("system", fakes.SYSTEMS)
def test_padding_of_a_training_batch_changes_nothing(system: str) -> None:
    """Source and target of each row alone, without the padding that the longest row of its batch brings."""
    model = toy(system)
    source, lengths = sentences()
    target = ids(ROWS, TARGET, 1)
    visible = torch.arange(1, TARGET + 1).minimum(lengths[:, None])
    if model.config.offline:
        visible = lengths[:, None].expand(-1, TARGET)
    whole = model(source, target, visible)
    for b, n in enumerate(lengths):
        alone = model(source[b : b + 1, :n], target[b : b + 1, :6], visible[b : b + 1, :6])
        torch.testing.assert_close(alone[0], whole[b, :6])


def sentences() -> tuple[Tensor, Tensor]:
    """Sources of unlike length that end in eos, padded; their lengths."""
    lengths = torch.tensor([SOURCE, 4, 2, 7])
    time = torch.arange(SOURCE)
    source = ids(ROWS, SOURCE, 3).clamp(min=4)
    source[time == lengths[:, None] - 1] = 3
    return source.masked_fill(time >= lengths[:, None], 0), lengths


@pytest.mark.parametrize("system", [name for name in fakes.SYSTEMS if name in fakes.OFFLINE])
def test_an_offline_model_takes_the_sentence_in_one_read(system: str) -> None:
    """In shuffled rows of a larger pool that served others before."""
    model = toy(system)
    (source, lengths), target = sentences(), ids(ROWS, TARGET, 1)
    pool, rows = model.init_state(6), torch.tensor([4, 0, 5, 2])
    for turn in range(2):
        some = source if turn else source.roll(1, 0)
        pool.put(rows, model.read(some, pool.take(rows), lengths if turn else lengths.roll(1)))
        written = []
        for u in range(TARGET):
            model.write((target[:, u] + 1) % VOCABULARY, pool.take(rows))  # not kept
            logits, confidence, state = model.write(target[:, u], pool.take(rows))
            assert confidence is None
            pool.put(rows, state)
            written.append(logits)
        if turn == 0:
            pool.reset(rows)
    expected = model.logits(model(source, target, lengths[:, None].expand(-1, TARGET)))
    torch.testing.assert_close(torch.stack(written, dim=1), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("system", fakes.SYSTEMS)
def test_who_can_decide_says_how_sure_it_is(system: str) -> None:
    """Monotonic attention yes or no, a policy head something between, the others nothing."""
    model = toy(system)
    source, lengths = sentences()
    state = model.read(source, model.init_state(ROWS), lengths)
    found = []
    for u in range(TARGET):
        _, confidence, state = model.write(ids(ROWS, TARGET, 2)[:, u], state)
        found += [] if confidence is None else confidence.tolist()
    assert model.config.decides == bool(found) == (system in (*fakes.MONOTONIC, "adaptive"))
    if model.config.monotonic:
        assert set(found) <= {0.0, 1.0}
    elif found:
        assert all(0 < c < 1 for c in found) and len(set(found)) > ROWS


def test_offline_and_monotonic_are_what_the_config_says() -> None:
    for name in fakes.SYSTEMS:
        config = fakes.system(name).config
        assert config.offline == (name in fakes.OFFLINE), name
        assert config.monotonic == (name in fakes.MONOTONIC), name
    assert {"lstm-reversed", "gru-additive", "transformer"} <= set(fakes.OFFLINE)
    assert set(fakes.MONOTONIC) == {"hard-monotonic", "mocha", "milk", "mma-h", "mma-il"}


@pytest.mark.parametrize("stopping", [(False, True), (True, False), (True, True)])
def test_it_is_sure_only_where_the_heads_of_all_layers_stop(stopping: tuple[bool, ...]) -> None:
    model = toy("mma-il")
    for layer, stops in zip(model.decoder, stopping, strict=True):
        layer.cross.bias.fill_(1e9 if stops else -1e9)
    state = model.read(ids(2, 4, 0), model.init_state(2))
    _, confidence, _ = model.write(ids(2, 1, 1)[:, 0], state)
    assert confidence is not None and confidence.tolist() == [float(all(stopping))] * 2


def test_one_embedding_serves_source_target_and_output() -> None:
    model = toy()
    names = dict(model.named_parameters())
    assert [n for n, p in names.items() if VOCABULARY in p.shape] == ["embedding.weight"]
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in names.values())
    x = torch.randn(3, 16, dtype=torch.float64)
    assert torch.equal(model.logits(x), x @ model.embedding.weight.T)


def test_average_is_the_mean_of_each_weight() -> None:
    states = [toy().state_dict() for _ in range(3)]
    for n, state in enumerate(states):
        for weight in state.values():
            weight.fill_(n)
    assert all(torch.equal(w, torch.ones_like(w)) for w in average(states).values())
