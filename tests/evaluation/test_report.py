"""The report's figures are those of sacreBLEU and SimulEval on the same run; odd lines do not stop it."""

from __future__ import annotations

import json
import warnings

import fakes
import pytest
import sacrebleu
from test_latency import SCORERS, LogInstance

from streamtrans.evaluation.latency import DelayError, Delays, corpus_latency
from streamtrans.evaluation.quality import QualityError
from streamtrans.evaluation.report import evaluate
from streamtrans.evaluation.simulate import Translation, simulate

SOURCES = fakes.sentences(8, seed=6, longest=9)
REFERENCES = [" ".join(reversed(s.rstrip(".").split())) + " !" for s in SOURCES]


def simuleval(name: str, translations: list[Translation], references: list[str]) -> float:
    """SimulEval's own scorer over a log of these translations."""
    instances = {}
    for index, (t, reference) in enumerate(zip(translations, references, strict=True)):
        line = {
            "index": index,
            "delays": t.delays,
            "source_length": len(t.source),
            "reference": reference,
        }
        instances[index] = LogInstance(json.dumps(line))
    with warnings.catch_warnings():
        # SimulEval reports a skipped sentence through the deprecated Logger.warn.
        warnings.simplefilter("ignore", DeprecationWarning)
        return float(SCORERS[name]()(instances))


@pytest.mark.parametrize("policy", ["wait-1", "wait-3", "wait-2:0.3", "full"])
def test_latency_is_what_simuleval_says(policy: str) -> None:
    report, translations = evaluate(fakes.engine(), SOURCES, REFERENCES, policy)
    for name in SCORERS:
        assert getattr(report, name) == pytest.approx(
            simuleval(name, translations, REFERENCES), rel=1e-9
        )


def test_figures_are_those_computed_directly() -> None:
    report, translations = evaluate(fakes.engine(), SOURCES, REFERENCES, "wait-3")
    assert translations == simulate(fakes.engine(), SOURCES, "wait-3")
    hypotheses = [t.text for t in translations]
    assert report.bleu == sacrebleu.corpus_bleu(hypotheses, [REFERENCES]).score
    assert report.chrf == sacrebleu.corpus_chrf(hypotheses, [REFERENCES]).score
    latency = corpus_latency(
        Delays(t.delays, len(s.split()), len(r.split()))
        for t, s, r in zip(translations, SOURCES, REFERENCES, strict=True)
    )
    assert (report.al, report.laal, report.ap, report.dal) == (
        latency.al,
        latency.laal,
        latency.ap,
        latency.dal,
    )
    assert report.words == sum(len(h.split()) for h in hypotheses)
    assert (report.model, report.policy, report.sentences) == ("toy", "wait-3", 8)
    assert report.empty == 0 and report.seconds > 0
    assert report.signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a")


def test_full_lags_by_the_whole_sentence() -> None:
    report, translations = evaluate(fakes.engine(), SOURCES, REFERENCES, "full")
    lengths = [len(t.source) for t in translations]
    assert report.al == report.laal == pytest.approx(sum(lengths) / len(lengths))


def test_empty_lines_are_counted_and_stop_nothing() -> None:
    """An empty reference has no words to divide by and ended the evaluation with an error; SimulEval counts one."""
    sources = ["", *SOURCES[:3], "the old boat.", " \t"]
    references = ["", *REFERENCES[:3], "  ", "rien"]
    report, translations = evaluate(fakes.engine(max_sessions=2), sources, references, "wait-2")
    assert (report.sentences, report.empty) == (6, 2)
    assert translations[0].text == translations[5].text == ""
    for name in SCORERS:
        stripped = [r.strip() for r in references]
        assert getattr(report, name) == pytest.approx(
            simuleval(name, translations, stripped), rel=1e-9
        )


def test_a_no_break_space_does_not_end_a_word() -> None:
    """French `ravi ?` with its no-break space is one word for SimulEval and for us, in references as in hypotheses."""
    plain, joined = (
        evaluate(fakes.engine(), SOURCES, [r.replace(" !", sign) for r in REFERENCES], "wait-1")[0]
        for sign in ("!", "\u202f!")
    )
    assert plain.al == joined.al


def test_nothing_to_measure_is_named() -> None:
    with pytest.raises(DelayError, match="every hypothesis is empty"):
        evaluate(fakes.engine(), ["", " "], ["a", "b"], "wait-3")
    with pytest.raises(QualityError, match="no lines"):
        evaluate(fakes.engine(), [], [], "wait-3")


def test_files_of_unlike_length_are_refused_before_the_work() -> None:
    """Hours of translation used to come before the error."""
    engine = fakes.engine()
    with pytest.raises(QualityError, match="8 sources for 7 references"):
        evaluate(engine, SOURCES, REFERENCES[:-1], "wait-3")
    assert engine._ticks == 0
