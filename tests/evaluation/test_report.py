"""The report's figures are those of sacreBLEU and SimulEval on the same run; odd lines do not stop it."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import asdict, replace

import fakes
import golden
import pytest
import sacrebleu
from test_latency import SCORERS, LogInstance

from streamtrans.evaluation import quality
from streamtrans.evaluation import report as report_module
from streamtrans.evaluation.latency import DelayError, Delays, corpus_latency
from streamtrans.evaluation.quality import CometMissing, QualityError
from streamtrans.evaluation.report import Report, evaluate, measure
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


@pytest.mark.parametrize("policy", ["wait-1", "wait-3", "full"])
def test_atd_and_yaal_are_what_their_tools_say(policy: str) -> None:
    report, translations = evaluate(fakes.engine(), SOURCES, REFERENCES, policy)
    delays = [
        Delays(t.delays, len(t.source), len(r.split()))
        for t, r in zip(translations, REFERENCES, strict=True)
    ]
    assert golden.agree(report.atd, golden.simuleval_text("ATD", delays))
    theirs = golden.omnisteval_corpus(delays)
    assert report.swf == pytest.approx(theirs["swf"])
    if policy == "full":
        assert report.yaal is None and report.efsw is None and math.isnan(theirs["yaal"])
        return
    assert golden.agree(report.yaal, theirs["yaal"])
    assert golden.agree(report.efsw, theirs["efsw"])
    assert report.degenerate == bool(theirs["degenerate_policy"])


def written(delays: list[int]) -> Report:
    """The report of ten words written after so many of ten."""
    translation = Translation(["a"] * 10, ["b"] * 10, delays)
    return measure("toy", "any", [translation], ["b " * 9 + "b"], 1.0)


def test_a_degenerate_policy_is_flagged() -> None:
    """One word at once, nine at the end: YAAL is that of a policy that follows word by word."""
    late, steady = written([1] + [10] * 9), written(list(range(1, 11)))
    assert late.yaal == steady.yaal == 1
    assert (late.degenerate, steady.degenerate) == (True, False)
    assert (late.swf, late.efsw) == (10, 90)


def test_words_taken_back_show_in_ne() -> None:
    translation = Translation(["a"] * 4, ["b"] * 4, [1, 2, 3, 4], erased=3)
    report = measure("toy", "any", [translation, Translation()], ["b b", ""], 1.0)
    assert report.ne == 0.75
    assert evaluate(fakes.engine(), SOURCES, REFERENCES, "wait-2")[0].ne == 0


def test_the_clock_is_asked_for() -> None:
    report, _ = evaluate(fakes.engine(), SOURCES, REFERENCES, "wait-2")
    clocked = {name for name, value in asdict(report).items() if value is None}
    assert clocked == {
        *("pace", "rtf", "lag_p50", "lag_p95", "lag_p99", "comet"),
        *("ca_al", "ca_laal", "ca_ap", "ca_dal", "ca_atd", "ca_yaal"),
    }
    assert report.timed == 0
    sample, _ = evaluate(fakes.engine(), SOURCES, REFERENCES, "wait-2", timed=3, pace=5.0)
    assert (sample.timed, sample.pace) == (3, 5.0)
    assert [n for n, value in asdict(sample).items() if value is None] == ["comet"]
    alone, _ = evaluate(fakes.engine(), SOURCES[:3], REFERENCES[:3], "wait-2")
    for name in ("al", "laal", "dal", "atd", "yaal"):
        assert getattr(sample, f"ca_{name}") > 200 * getattr(alone, name) > 0, name
    assert sample.lag_p50 and 0 < sample.lag_p50 <= (sample.lag_p99 or 0)
    assert sample.rtf and 0 < sample.rtf < 1
    assert replace(sample, seconds=0, **dict.fromkeys(clocked), timed=0) == replace(
        report, seconds=0
    )
    assert evaluate(fakes.engine(), SOURCES, REFERENCES, "full", timed=99)[0].timed == len(SOURCES)


def test_comet_is_missed_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "find_spec", lambda name: None)
    engine = fakes.engine()
    with pytest.raises(CometMissing, match=r"streamtrans\[comet\]"):
        evaluate(engine, SOURCES, REFERENCES, "wait-3", with_comet=True)
    assert engine._ticks == 0


def test_comet_is_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own computing is tested, as far as it can be here, in test_quality."""
    asked = []

    def comet(*lines: list[str]) -> float:
        asked.append(lines)
        return 0.8125

    monkeypatch.setattr(report_module, "require_comet", lambda: None)
    monkeypatch.setattr(report_module, "comet", comet)
    report, translations = evaluate(fakes.engine(), SOURCES, REFERENCES, "wait-3", with_comet=True)
    assert report.comet == 0.8125
    assert asked == [(SOURCES, [t.text for t in translations], REFERENCES)]


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
