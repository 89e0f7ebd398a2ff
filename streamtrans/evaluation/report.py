"""Quality and latency of one model under one policy on one set of pairs: what `streamtrans evaluate` prints."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from streamtrans.engine import Engine
from streamtrans.evaluation.latency import Delays, corpus_latency
from streamtrans.evaluation.quality import QualityError, score
from streamtrans.evaluation.simulate import Translation, simulate


@dataclass(frozen=True)
class Report:
    """bleu, chrf on detokenised, cased text; al, laal, dal in source words, ap a share.

    words: target words committed. empty: sentences without any, which the latency figures leave out. seconds: wall time
    of the simulation, all sentences.
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
    seconds: float
    signature: str
    chrf_signature: str


def evaluate(
    engine: Engine, sources: Sequence[str], references: Sequence[str], policy: str
) -> tuple[Report, list[Translation]]:
    """Translate, score, and give the translations as well.

    A reference's length is counted as SimulEval does: between blanks, so that an empty one counts as one word. Sources
    and hypotheses that are empty have no delays and are left out of the latency. Raises PolicyError, QualityError,
    and DelayError if every hypothesis is empty.
    """
    if len(sources) != len(references):
        raise QualityError(f"{len(sources)} sources for {len(references)} references")
    started = time.perf_counter()
    translations = simulate(engine, sources, policy)
    seconds = time.perf_counter() - started
    quality = score([t.text for t in translations], references)
    latency = corpus_latency(
        Delays(t.delays, len(t.source), len(r.strip().split(" ")))
        for t, r in zip(translations, references, strict=True)
    )
    report = Report(
        model=engine.model.name,
        policy=policy,
        sentences=len(sources),
        words=sum(len(t.target) for t in translations),
        empty=sum(not t.target for t in translations),
        bleu=quality.bleu,
        chrf=quality.chrf,
        al=latency.al,
        laal=latency.laal,
        ap=latency.ap,
        dal=latency.dal,
        seconds=seconds,
        signature=quality.bleu_signature,
        chrf_signature=quality.chrf_signature,
    )
    return report, translations
