"""Quality is sacreBLEU's own figure with its signature; a corpus that does not fit is refused."""

from __future__ import annotations

import pytest
import sacrebleu

from streamtrans.evaluation.quality import QualityError, score

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
