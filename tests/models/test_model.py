"""READ and WRITE in any order, in batches of any rows, against the whole sequence at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from streamtrans.models.config import ModelConfig
from streamtrans.models.model import Model, average

ROWS, SOURCE, TARGET, VOCABULARY = 4, 11, 9, 17
ANOTHER = 7


def toy() -> Model:
    """A small model in float64 whose logits differ clearly."""
    torch.manual_seed(0)
    config = ModelConfig(
        name="toy",
        source="en",
        target="fr",
        vocabulary=VOCABULARY,
        dim=16,
        heads=2,
        hidden=24,
        encoder_layers=2,
        decoder_layers=2,
        window=5,
        memory=SOURCE,
    )
    model = Model(config).double().eval()
    torch.nn.init.normal_(model.embedding.weight, std=0.5)
    return model.requires_grad_(False)


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
        pieces = torch.full((len(rows), max(lengths)), ANOTHER)
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
        logits, state = self.model.write(previous, self.pool.take(slots))
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


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_reads_and_writes_is_forward_with_what_was_visible(seed: int) -> None:
    """Also with rows that wait, rows of a pool in any order, and steps that do not count."""
    model = toy()
    source, target = ids(ROWS, SOURCE, seed), ids(ROWS, TARGET, seed + 100)
    rng = np.random.default_rng(seed)
    streams = Streams(model, source, target, rng.permutation(7)[:ROWS].tolist())
    walk(streams, rng)
    visible = torch.tensor([row.visible for row in streams.rows])
    expected = model.logits(model(source, target, visible))
    actual = torch.stack([torch.stack(row.logits) for row in streams.rows])
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


def test_a_session_after_another_in_the_same_slot() -> None:
    """What the last session of a slot READ and wrote is gone after its reset."""
    model, rng = toy(), np.random.default_rng(5)
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


def test_a_target_piece_sees_no_more_than_visible() -> None:
    """Teacher forcing must not leak: changing what was not READ yet changes nothing."""
    model = toy()
    source, target = ids(2, SOURCE, 0), ids(2, TARGET, 1)
    visible = torch.arange(1, TARGET + 1).expand(2, -1)
    before = model(source, target, visible)
    source[:, 5:] = (source[:, 5:] + 1) % VOCABULARY
    after = model(source, target, visible)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5], after[:, 5])
    target[:, 6:] = (target[:, 6:] + 1) % VOCABULARY
    assert torch.equal(model(source, target, visible)[:, :6], after[:, :6])


def test_padding_of_a_training_batch_changes_nothing() -> None:
    model = toy()
    source, target = ids(2, SOURCE, 0), ids(2, TARGET, 1)
    visible = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 7, 7]]).expand(2, -1)
    whole = model(source, target, visible)
    short = model(source[:, :7], target[:, :6], visible[:, :6])
    torch.testing.assert_close(short, whole[:, :6])


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
