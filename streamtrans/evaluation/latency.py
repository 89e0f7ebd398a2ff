"""How far a simultaneous translation lags behind its source: AL, LAAL, AP and DAL, and all scores of a corpus.

This file knows the four scores as SimulEval 1.1.4 defines them for text output, and the ideal delays of wait-k; ATD and
YAAL have files of their own. It does not know how delays were measured, what a word is, or in which unit the source is
counted. Notation: `delays.py`. AL, LAAL and DAL come out in the unit of the delays, AP is a proportion without unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streamtrans.evaluation.delays import DelayError, Delays, check, check_lengths, check_order
from streamtrans.evaluation.token_delay import TEXT, Units, average_token_delay
from streamtrans.evaluation.yaal import yaal

__all__ = [
    "DelayError",
    "Delays",
    "Latency",
    "average_lagging",
    "average_proportion",
    "corpus_latency",
    "differentiable_average_lagging",
    "length_adaptive_average_lagging",
    "stream_laal",
    "wait_k_delays",
]


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency of a sentence or corpus: al, laal, dal, atd, yaal in the unit of the delays, ap in none.

    yaal is None where no word comes before the end of its source.
    """

    al: float
    laal: float
    ap: float
    dal: float
    atd: float
    yaal: float | None


def average_lagging(
    delays: Sequence[float], source_length: float, reference_length: int | None = None
) -> float:
    """AL = 1/tau sum_{i<=tau} [d_i - (i-1) |X|/|Y*|], Ma et al. 2019 (STACL), section 4.

    tau is the first i with d_i >= |X|, or |Y| if the hypothesis ends before the source does.
    |X|/|Y*| is the pace of an ideal translator (|X|/|Y| if `reference_length` is None); a
    hypothesis longer than its reference can outrun it, and AL is then negative.

    Raises `DelayError` for an empty hypothesis, for delays that are negative, decreasing or not
    finite, and for a length that is not positive and finite.
    """
    check(delays, source_length, reference_length)
    return _lagging(delays, source_length, reference_length or len(delays))


def length_adaptive_average_lagging(
    delays: Sequence[float], source_length: float, reference_length: int | None = None
) -> float:
    """LAAL: AL at the pace |X| / max(|Y|, |Y*|), Polák et al. 2022 and Papi et al. 2022.

    Equals AL unless the hypothesis is longer than its reference. Raises `DelayError` as AL does.
    """
    check(delays, source_length, reference_length)
    return _lagging(delays, source_length, max(len(delays), reference_length or 0))


def stream_laal(
    delays: Sequence[float], source_length: float, reference_length: int | None = None
) -> float:
    """StreamLAAL of one sentence of a recording, Papi et al. 2024 (StreamAtt), section 4: LAAL of the words that
    re-segmenting gave to it, with delays from the beginning of the sentence.

    A word that was committed before its sentence began has a negative delay. Raises `DelayError` for an empty
    hypothesis, for delays that are decreasing or not finite, and for a length that is not positive and finite.
    """
    check_lengths(source_length, reference_length)
    check_order(delays)
    return _lagging(delays, source_length, max(len(delays), reference_length or 0))


def average_proportion(
    delays: Sequence[float], source_length: float, reference_length: int | None = None
) -> float:
    """AP = sum_i d_i / (|X| |Y*|), Cho and Esipova 2016.

    The paper divides by |Y|; SimulEval, and we with it, by the reference length. Over-generation
    therefore raises AP, even beyond 1, and a short hypothesis lowers it.

    Raises `DelayError` as AL does.
    """
    check(delays, source_length, reference_length)
    return math.fsum(delays) / (source_length * (reference_length or len(delays)))


def differentiable_average_lagging(delays: Sequence[float], source_length: float) -> float:
    """DAL = 1/|Y| sum_i [d'_i - (i-1) |X|/|Y|], Cherry and Foster 2019.

    d'_1 = d_1 and d'_i = max(d_i, d'_{i-1} + |X|/|Y|): saying a target unit takes its share of the
    source. All of Y counts and the reference does not; never negative.

    Raises `DelayError` as AL does.
    """
    check(delays, source_length, None)
    pace = source_length / len(delays)
    # d'_i - (i-1) pace = max(d'_{i-1} - (i-2) pace, d_i - (i-1) pace): a running maximum.
    lag = -math.inf
    lags = [lag := max(lag, delay - i * pace) for i, delay in enumerate(delays)]
    return math.fsum(lags) / len(lags)


def corpus_latency(sentences: Iterable[Delays], units: Units = TEXT) -> Latency:
    """Mean of the sentence scores, each sentence with equal weight; `units` are those of ATD.

    As SimulEval does, an empty hypothesis is left out of the mean: it has no delays. A system that
    stays silent is thus not punished here but in quality, so report how many hypotheses were empty.
    As OmniSTEval does, YAAL is the mean over the sentences that have one.

    Computation-aware for sentences with a clock: each score is then that of t_i instead of d_i
    (ATD still takes its chunks from d_i).

    Raises `DelayError` if no sentence has delays, and where `average_lagging` raises it.
    """
    spoken = [sentence for sentence in sentences if len(sentence.delays) > 0]
    if not spoken:
        raise DelayError("no sentence of the corpus has delays: every hypothesis is empty")
    scores = [_sentence_latency(sentence, units) for sentence in spoken]
    yaals = [score.yaal for score in scores if score.yaal is not None]
    return Latency(
        al=_mean([score.al for score in scores]),
        laal=_mean([score.laal for score in scores]),
        ap=_mean([score.ap for score in scores]),
        dal=_mean([score.dal for score in scores]),
        atd=_mean([score.atd for score in scores]),
        yaal=_mean(yaals) if yaals else None,
    )


def wait_k_delays(k: int, source_length: int, target_length: int) -> list[int]:
    """Delays of the ideal wait-k policy, d_i = min(i-1+k, |X|), Ma et al. 2019 (STACL), section 3.

    k and `source_length` |X| are source words, at least 1; the list has `target_length` entries.
    Raises `DelayError` for lengths out of range.
    """
    if k < 1 or source_length < 1 or target_length < 0:
        raise DelayError(
            f"wait-k needs k >= 1, source_length >= 1 and target_length >= 0, "
            f"not {k}, {source_length} and {target_length}"
        )
    return [min(i + k, source_length) for i in range(target_length)]


def _lagging(delays: Sequence[float], source_length: float, target_length: int) -> float:
    """AL at the pace |X| / `target_length`, for checked input."""
    pace = source_length / target_length
    source_end = (i for i, delay in enumerate(delays, start=1) if delay >= source_length)
    tau = next(source_end, len(delays))
    return math.fsum(delay - i * pace for i, delay in enumerate(delays[:tau])) / tau


def _sentence_latency(sentence: Delays, units: Units) -> Latency:
    delays, source, reference = sentence.times, sentence.source_length, sentence.reference_length
    return Latency(
        al=average_lagging(delays, source, reference),
        laal=length_adaptive_average_lagging(delays, source, reference),
        ap=average_proportion(delays, source, reference),
        dal=differentiable_average_lagging(delays, source),
        atd=average_token_delay(sentence, units),
        yaal=yaal(delays, source, reference),
    )


def _mean(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores)
