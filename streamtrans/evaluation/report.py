"""Quality and latency of one model under one policy on one set of pairs: what `streamtrans evaluate` prints."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamtrans.engine import Engine
from streamtrans.evaluation.delays import Delays
from streamtrans.evaluation.erasure import normalized_erasure
from streamtrans.evaluation.latency import corpus_latency
from streamtrans.evaluation.quality import QualityError, comet, require_comet, score
from streamtrans.evaluation.simulate import Translation, simulate
from streamtrans.evaluation.timing import PACE, summarise, time_sentences
from streamtrans.evaluation.yaal import simultaneity


@dataclass(frozen=True)
class Report:
    """Quality: bleu, chrf on detokenised, cased text; comet if asked for.

    Latency: al, laal, dal, atd, yaal in source words, ap a share; yaal None where no word comes before its source ends.
    ne: target words taken back per final word. swf: words committed before their source ends, in percent; efsw: how
    many the lag lets one expect; degenerate: they are over 20 points apart, so do not trust the latency.

    words: target words committed. empty: sentences without any, which the latency figures leave out. seconds: wall time
    of the simulation, all sentences at once.

    Computation-aware (None unless asked for), over the first `timed` sentences, each in a session alone, their words
    arriving at `pace` a second: ca_al to ca_yaal in ms (ca_ap a share), lag_p50 to lag_p99 the ms that computing adds
    to a word, rtf the seconds of computing per second of source at that pace (not of audio: text has none).
    """

    model: str
    policy: str
    sentences: int
    words: int
    empty: int
    bleu: float
    chrf: float
    al: float
    laal: float
    ap: float
    dal: float
    atd: float
    yaal: float | None
    ne: float | None
    swf: float
    efsw: float | None
    degenerate: bool
    seconds: float
    signature: str
    chrf_signature: str
    comet: float | None = None
    timed: int = 0
    pace: float | None = None
    ca_al: float | None = None
    ca_laal: float | None = None
    ca_ap: float | None = None
    ca_dal: float | None = None
    ca_atd: float | None = None
    ca_yaal: float | None = None
    lag_p50: float | None = None
    lag_p95: float | None = None
    lag_p99: float | None = None
    rtf: float | None = None


def evaluate(
    engine: Engine,
    sources: Sequence[str],
    references: Sequence[str],
    policy: str,
    *,
    timed: int = 0,
    pace: float = PACE,
    with_comet: bool = False,
) -> tuple[Report, list[Translation]]:
    """Translate, score, and give the translations as well.

    timed: so many sentences, from the first on, are translated once more one at a time for the computation-aware
    figures, their words arriving at `pace` a second (simulated: it takes no longer than the computing).

    A reference's length is counted as SimulEval does: between blanks, so that an empty one counts as one word. Sources
    and hypotheses that are empty have no delays and are left out of the latency. Raises PolicyError, QualityError,
    CometMissing, and DelayError if every hypothesis is empty.
    """
    if len(sources) != len(references):
        raise QualityError(f"{len(sources)} sources for {len(references)} references")
    if with_comet:
        require_comet()
    started = time.perf_counter()
    translations = simulate(engine, sources, policy)
    seconds = time.perf_counter() - started
    report = measure(engine.model.name, policy, translations, references, seconds)
    if timed:
        report = _with_clock(report, engine, sources[:timed], references[:timed], pace)
    if with_comet:
        report = replace(report, comet=comet(sources, [t.text for t in translations], references))
    return report, translations


def _with_clock(
    report: Report,
    engine: Engine,
    sources: Sequence[str],
    references: Sequence[str],
    pace: float,
) -> Report:
    timings = time_sentences(engine, sources, report.policy, pace)
    figures = summarise(timings, [_length(r) for r in references], pace)
    latency = figures.latency
    return replace(
        report,
        timed=figures.sentences,
        pace=pace,
        ca_al=latency.al,
        ca_laal=latency.laal,
        ca_ap=latency.ap,
        ca_dal=latency.dal,
        ca_atd=latency.atd,
        ca_yaal=latency.yaal,
        lag_p50=figures.lag_p50,
        lag_p95=figures.lag_p95,
        lag_p99=figures.lag_p99,
        rtf=figures.rtf,
    )


def _length(reference: str) -> int:
    return len(reference.strip().split(" "))


def measure(
    model: str,
    policy: str,
    translations: Sequence[Translation],
    references: Sequence[str],
    seconds: float,
) -> Report:
    """The report of translations that are there already, as `evaluate` makes it; raises what it raises."""
    quality = score([t.text for t in translations], references)
    delays = [
        Delays(t.delays, len(t.source), _length(r))
        for t, r in zip(translations, references, strict=True)
    ]
    latency, early = corpus_latency(delays), simultaneity(delays)
    words = sum(len(t.target) for t in translations)
    return Report(
        model=model,
        policy=policy,
        sentences=len(translations),
        words=words,
        empty=sum(not t.target for t in translations),
        bleu=quality.bleu,
        chrf=quality.chrf,
        al=latency.al,
        laal=latency.laal,
        ap=latency.ap,
        dal=latency.dal,
        atd=latency.atd,
        yaal=latency.yaal,
        ne=normalized_erasure(sum(t.erased for t in translations), words),
        swf=early.swf,
        efsw=early.efsw,
        degenerate=early.degenerate,
        seconds=seconds,
        signature=quality.bleu_signature,
        chrf_signature=quality.chrf_signature,
    )
