"""Full-sentence search cuts and spells as a live session does."""

from __future__ import annotations

from pathlib import Path

import fakes
import pytest

from streamtrans import pretrained
from streamtrans.engine import Engine
from streamtrans.evaluation import full_sentence
from streamtrans.evaluation.simulate import simulate
from streamtrans.evaluation.testsets import load
from streamtrans.models import checkpoint

DATA = Path(__file__).parent.parent / "data"
LINES = [
    *fakes.sentences(6, seed=3),
    "the old boat. a small river. the one",  # three segments
    "",
    " ".join(["bread"] * 60),  # longer than a segment may be
]


def test_greedy_search_writes_what_the_policy_full_writes() -> None:
    """Width 1 is the same search as the engine's: same segments, same pieces, same words."""
    model, vocabulary = checkpoint.load(pretrained.find("en-fr"))
    pairs = load(str(DATA / "tatoeba.en-fr.tsv"), DATA, limit=12).sources
    lines = [*pairs, " ".join(pairs[:3]), "", "who is it and when and why " * 12]
    found = full_sentence.translate(model, vocabulary, lines, width=1)
    live = simulate(Engine(model, vocabulary, 8, 8), lines, "full")
    assert [t.target for t in found] == [t.target for t in live]
    assert [t.source for t in found] == [t.source for t in live]


@pytest.mark.parametrize("width", [1, 3])
def test_every_word_waits_for_the_whole_line(width: int) -> None:
    found = full_sentence.translate(fakes.model(), fakes.vocabulary(), LINES, width)
    for line, translation in zip(LINES, found, strict=True):
        assert translation.delays == [len(line.split())] * len(translation.target)


def test_an_offline_model_translates() -> None:
    """It has no sessions in an engine, yet its words are cut and spelt in the same way."""
    model = fakes.model(bidirectional=True)
    found = full_sentence.translate(model, fakes.vocabulary(), LINES, width=2)
    assert [t.source for t in found] == [line.split() for line in LINES]
    assert sum(len(t.target) for t in found) > 10
