"""Full-sentence search against the engine, against all targets there are, and against itself in other batches."""

from __future__ import annotations

import itertools
from pathlib import Path

import fakes
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from streamtrans import pretrained
from streamtrans.engine import Engine
from streamtrans.evaluation.simulate import simulate
from streamtrans.models import checkpoint
from streamtrans.models.config import ModelConfig
from streamtrans.models.model import Model, ModelState
from streamtrans.models.search import EOS, NEVER, beam_search
from streamtrans.text.target import Detokenizer
from streamtrans.text.vocabulary import Vocabulary

BOS = Vocabulary.bos
KINDS: dict[str, dict[str, object]] = {
    "transformer": {},
    "gru": dict(encoder="gru", decoder="gru", attention="additive"),
    "lstm, fixed": dict(encoder="lstm", decoder="lstm", attention="fixed"),
    "mma": dict(attention="infinite-lookback"),
    "mocha": dict(decoder="gru", attention="mocha"),
    "both ways": dict(bidirectional=True),
    "reversed": dict(encoder="lstm", decoder="lstm", attention="fixed", reversed_source=True),
}


class ToyModel(Model):
    """Likes one piece after another instead of the last one again."""

    def logits(self, x: Tensor) -> Tensor:
        return F.linear(x, self.embedding.weight.roll(5, 0))


def toy(vocabulary: int = 40, seed: int = 0, **changes: object) -> Model:
    """A small model in float64 with clear likes, which ends its targets sooner or later."""
    torch.manual_seed(seed)
    values: dict[str, object] = dict(
        name="toy",
        source="en",
        target="fr",
        vocabulary=vocabulary,
        dim=16,
        heads=2,
        hidden=24,
        encoder_layers=2,
        decoder_layers=2,
        window=64,
        memory=96,
        dropout=0.0,
    )
    model = ToyModel(ModelConfig(**(values | changes))).double().eval()  # type: ignore[arg-type]
    torch.nn.init.normal_(model.embedding.weight, std=0.5)
    return model.requires_grad_(False)


def sentences(count: int, vocabulary: int, longest: int = 12, seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    return [torch.randint(4, vocabulary, (n,), generator=generator).tolist() for n in lengths]


def log_probability(model: Model, source: list[int], target: list[int]) -> float:
    """Of a whole target with its end, by `forward`, without what is never written."""
    everything = torch.full((1, len(target) + 1), len(source) + 1)
    x = model(torch.tensor([[*source, EOS]]), torch.tensor([[BOS, *target]]), everything)
    logits = model.logits(x)[0]
    logits[:, list(NEVER)] = -torch.inf
    return float(logits.log_softmax(1).gather(1, torch.tensor([*target, EOS])[:, None]).sum())


def score(model: Model, source: list[int], target: list[int], alpha: float) -> float:
    return log_probability(model, source, target) / ((5 + len(target) + 1) / 6) ** alpha


# --- what it finds ---------------------------------------------------------------------------------


def test_width_1_writes_what_the_engine_writes() -> None:
    lines = (Path(__file__).parent.parent / "data" / "tatoeba.en-fr.tsv").read_text("utf-8")
    sources = [line.split("\t")[0] for line in lines.splitlines()[:20]]
    model, vocabulary = checkpoint.load(pretrained.find("en-fr"))
    expected = [t.target for t in simulate(Engine(model, vocabulary, 8), sources, "full")]
    targets = beam_search(model, vocabulary.encode_lines(sources), width=1, batch=8)
    for target, words in zip(targets, expected, strict=True):
        detokenizer = Detokenizer(vocabulary, "fr")
        written = [detokenizer.feed(piece) for piece in target]
        assert [*filter(None, [*written, detokenizer.flush()])] == words


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_a_wide_beam_finds_the_best_of_all_targets(alpha: float) -> None:
    """Three pieces, up to four of them: 121 targets. A beam of 81 drops none."""
    for seed in range(4):
        model = toy(vocabulary=7, seed=seed)
        (source,) = sentences(1, 7, seed=seed)
        targets = [list(t) for n in range(5) for t in itertools.product((4, 5, 6), repeat=n)]
        best = max(targets, key=lambda target: score(model, source, target, alpha))
        assert beam_search(model, [source], 81, alpha, ratio=0, spare=4) == [best]


def test_a_wider_beam_finds_better_targets() -> None:
    model, sources = toy(), sentences(30, 40)
    means = []
    for width in (1, 2, 4, 8):
        found = beam_search(model, sources, width)
        scores = [score(model, s, t, 1.0) for s, t in zip(sources, found, strict=True)]
        means.append(sum(scores) / len(scores))
    assert means == sorted(means) and means[0] < means[-1]


@pytest.mark.parametrize("width", [1, 3])
def test_targets_have_a_limit_and_no_odd_pieces(width: int) -> None:
    model, sources = toy(), sentences(20, 40)
    model.embedding.weight[-5:-1] *= 3  # as outputs these are 0 to 3: liked much or not at all
    found = beam_search(model, sources, width, ratio=1.5, spare=2)
    for source, target in zip(sources, found, strict=True):
        assert len(target) <= -(-3 * len(source) // 2) + 2
        assert not {*NEVER, EOS} & set(target)
    assert any(len(t) == -(-3 * len(s) // 2) + 2 for s, t in zip(sources, found, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1, 3])
def test_alone_is_together(kind: str, width: int) -> None:
    """Whatever the batch, in whatever order, rows leaving it as they end; sources longer than one READ too."""
    model = toy(**KINDS[kind])
    sources = [*sentences(17, 40), [], *sentences(3, 40, longest=80, seed=1)]
    together = beam_search(model, sources, width)
    assert together[17] == [] and len({len(t) for t in together}) > 2
    assert [beam_search(model, [s], width)[0] for s in sources] == together
    assert beam_search(model, sources[::-1], width, batch=4)[::-1] == together


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_found_has_the_score_that_forward_gives(kind: str) -> None:
    """The best of many targets by `forward` is none that the search saw and let go: no state strayed to another row."""
    model, sources = toy(**KINDS[kind]), sentences(8, 40)
    greedy, wide = beam_search(model, sources, 1), beam_search(model, sources, 6)
    better = 0
    for source, first, second in zip(sources, greedy, wide, strict=True):
        gain = score(model, source, second, 1.0) - score(model, source, first, 1.0)
        assert gain > -1e-9
        better += gain > 1e-9
    assert better


def test_what_cannot_be_searched_is_said() -> None:
    with pytest.raises(ValueError, match="width 0"):
        beam_search(toy(), [[5]], 0)
    with pytest.raises(ValueError, match="96 pieces and its end exceed the model's memory of 96"):
        beam_search(toy(), [[5], [5] * 96])
    assert beam_search(toy(), [[5] * 95])[0]
    assert beam_search(toy(), []) == []


# --- reorder ---------------------------------------------------------------------------------------


def after(model: Model, source: Tensor, target: Tensor) -> ModelState:
    """READ sources, then WRITE targets. source: (B, S), target: (B, U)."""
    state = model.read(source, model.init_state(len(source)))
    return write(model, target, state)[1]


def write(model: Model, target: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
    """(B, U), state -> logits (B, U, V), state."""
    rows = []
    for previous in target.unbind(1):
        logits, _, state = model.write(previous, state)
        rows.append(logits)
    return torch.stack(rows, 1), state


@pytest.mark.parametrize("kind", KINDS)
def test_reordered_rows_go_on_as_the_rows_they_were(kind: str) -> None:
    """Twice as many WRITEs as the window, so that rings wrap; rows repeat, change places and are dropped."""
    model = toy(**(KINDS[kind] | {"window": 4}))
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 40, (4, 30), generator=generator)
    source, first, second = ids[:, :10], ids[:, 10:20], ids[:, 20:]
    rows = torch.tensor([2, 0, 2, 1])
    expected, _ = write(model, second, after(model, source[rows], first[rows]))
    actual, _ = write(model, second, after(model, source, first).reorder(rows))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_alike_need_not_move(kind: str) -> None:
    """With `since`, the source memory stays; a view of a pool's rows keeps to its rows."""
    model = toy(**KINDS[kind])
    generator = torch.Generator().manual_seed(2)
    target = torch.randint(4, 40, (4, 12), generator=generator)
    source = torch.randint(4, 40, (1, 9), generator=generator).expand(4, -1)
    rows, place = torch.tensor([3, 3, 0, 1]), torch.tensor([5, 1, 6, 2])
    expected, _ = write(model, target[:, 6:], after(model, source, target[rows, :6]))
    pool = model.init_state(8)
    start = model.read(source, pool.take(place))
    state = write(model, target[:, :6], start)[1].reorder(rows, start)
    actual, _ = write(model, target[:, 6:], state)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


def test_only_rows_that_change_are_written() -> None:
    """A source memory of hundreds of cells that is alike must cost nothing at each step of a beam."""
    model = toy()
    start = model.read(torch.tensor([[4, 5, 6]] * 3), model.init_state(3))
    _, state = write(model, torch.tensor([[4], [5], [6]]), start)
    layer = state.decoder[0]
    own, source = layer.own.keys.clone(), layer.source.keys.clone()
    layer.source.keys.fill_(torch.nan)
    state.reorder(torch.tensor([0, 2, 2]), start)
    assert layer.source.keys.isnan().all() and not source.isnan().any()
    assert torch.equal(layer.own.keys[0], own[0]) and torch.equal(layer.own.keys[2], own[2])
    assert torch.equal(layer.own.keys[1, :, :1], own[2, :, :1])
    assert fakes.vocabulary().eos == EOS
