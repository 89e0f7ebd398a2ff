"""Quality is sacreBLEU's own figure with its signature; a corpus that does not fit is refused."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest
import sacrebleu

from streamtrans.evaluation import quality
from streamtrans.evaluation.quality import COMET_MODEL, CometMissing, QualityError, comet, score

REFERENCES = [
    "The cat sat on the mat, and the dog barked.",
    "It rained in Paris for three days.",
    "Nobody knew why the train was late.",
]
HYPOTHESES = [
    "The cat sat on the mat and a dog was barking.",
    "In Paris it rained for three days.",
    "Nobody knew why the train was so late.",
]


def test_scores_are_those_of_sacrebleu() -> None:
    quality = score(HYPOTHESES, REFERENCES)
    assert quality.bleu == sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score
    assert quality.chrf == sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score
    assert 20 < quality.bleu < 80
    assert 50 < quality.chrf < 95


def test_several_references_and_not_everywhere_as_many() -> None:
    """As sacreBLEU has it with streams; the signature says that their number varies."""
    more = [[r] for r in REFERENCES]
    more[1].append("In Paris it rained for three days.")
    quality = score(HYPOTHESES, more)
    streams = [REFERENCES, [None, more[1][1], None]]
    assert quality.bleu == sacrebleu.corpus_bleu(HYPOTHESES, streams).score
    assert quality.chrf == sacrebleu.corpus_chrf(HYPOTHESES, streams).score
    assert quality.bleu > score(HYPOTHESES, REFERENCES).bleu + 5
    assert "nrefs:var" in quality.bleu_signature
    with pytest.raises(QualityError, match="no reference"):
        score(HYPOTHESES, [*REFERENCES[:2], []])


def test_signatures_state_the_defaults() -> None:
    """A changed default, or a signature taken before scoring (`nrefs:?`), would show here."""
    quality = score(HYPOTHESES, REFERENCES)
    version = sacrebleu.__version__
    assert quality.bleu_signature == (
        f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}"
    )
    assert quality.chrf_signature == (
        f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{version}"
    )


def test_perfect_and_hopeless() -> None:
    perfect = score(REFERENCES, REFERENCES)
    assert (perfect.bleu, perfect.chrf) == (pytest.approx(100), pytest.approx(100))
    silent = score(["", "", ""], REFERENCES)
    assert (silent.bleu, silent.chrf) == (0, 0)


def test_score_is_of_the_corpus_and_in_line_order() -> None:
    """Corpus BLEU is no mean of sentence scores, and shuffled lines are a worse translation."""
    sentences = [score([h], [r]).bleu for h, r in zip(HYPOTHESES, REFERENCES, strict=True)]
    quality = score(HYPOTHESES, REFERENCES)
    assert quality.bleu != pytest.approx(sum(sentences) / len(sentences))
    assert score(HYPOTHESES[::-1], REFERENCES).bleu < quality.bleu


def test_case_counts() -> None:
    lowered = [line.lower() for line in REFERENCES]
    assert score(lowered, REFERENCES).bleu < 100


def test_different_numbers_of_lines_are_named() -> None:
    """sacreBLEU 2.6.0 gives 100 BLEU to one right line against two references."""
    with pytest.raises(QualityError, match="2 hypotheses for 3 references"):
        score(REFERENCES[:2], REFERENCES)
    with pytest.raises(QualityError, match="3 hypotheses for 1 references"):
        score(REFERENCES, REFERENCES[:1])


def test_no_lines_is_named() -> None:
    with pytest.raises(QualityError, match="no lines"):
        score([], [])


def test_one_string_is_no_corpus() -> None:
    """A string is a sequence of strings too: its characters would be scored as lines."""
    with pytest.raises(QualityError, match="not one string"):
        score("abc", "abc")
    with pytest.raises(QualityError, match="not one string"):
        score(["a", "b", "c"], "abc")


def test_comet_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "find_spec", lambda name: None)
    with pytest.raises(CometMissing, match=r"pip install 'streamtrans\[comet\]'"):
        comet(REFERENCES, HYPOTHESES, REFERENCES)
    with pytest.raises(QualityError, match="2 hypotheses for 3 references"):
        comet(REFERENCES, HYPOTHESES[:2], REFERENCES)


@pytest.mark.parametrize(
    ("model", "loaded"), [(COMET_MODEL, f"downloaded {COMET_MODEL}"), ("own.ckpt", "own.ckpt")]
)
def test_comet_is_given_each_line_with_its_own(
    monkeypatch: pytest.MonkeyPatch, model: str, loaded: str
) -> None:
    """A scorer in COMET's place that notes what it is asked; what it answers is what comes out."""
    asked: list[object] = []

    def predict(lines: list[dict[str, str]], gpus: int) -> SimpleNamespace:
        asked.append(lines)
        return SimpleNamespace(scores=[0.5, 0.75, 1.0], system_score=0.75)

    def load_from_checkpoint(path: str) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(predict=predict)

    module = ModuleType("comet")
    module.download_model = lambda name: f"downloaded {name}"  # type: ignore[attr-defined]
    module.load_from_checkpoint = load_from_checkpoint  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comet", module)
    monkeypatch.setattr(quality, "find_spec", lambda name: module)
    assert comet(["a", "b", "c"], HYPOTHESES, REFERENCES, model) == 0.75
    triples = zip("abc", HYPOTHESES, REFERENCES, strict=True)
    assert asked == [loaded, [{"src": s, "mt": h, "ref": r} for s, h, r in triples]]


@pytest.mark.skipif(
    find_spec("comet") is None or "COMET_CHECKPOINT" not in os.environ,
    reason="needs unbabel-comet and a COMET model, named in COMET_CHECKPOINT",
)
def test_comet_itself() -> None:
    """Skipped where there is no COMET model: the default one has 2.3 GB, comes from a model hub, and tests are offline.

    So this has not been run with the project's own tests; COMET_CHECKPOINT=PATH.ckpt (or a model's name) runs it.
    """
    model = os.environ["COMET_CHECKPOINT"]
    good = comet(REFERENCES, REFERENCES, REFERENCES, model)
    assert good > comet(REFERENCES, REFERENCES[::-1], REFERENCES, model)
