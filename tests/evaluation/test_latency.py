"""Our latency scores against SimulEval 1.1.4's scorers, hand computation and the law of wait-k."""

from __future__ import annotations

import json
import random
import warnings
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtrans.evaluation.latency import (
    DelayError,
    Delays,
    Latency,
    average_lagging,
    average_proportion,
    corpus_latency,
    differentiable_average_lagging,
    length_adaptive_average_lagging,
    wait_k_delays,
)

# SimulEval pulls in pydub, which warns about audioop and a missing ffmpeg while it is imported.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from simuleval.data.segments import TextSegment
    from simuleval.evaluator.instance import LogInstance, TextToTextInstance
    from simuleval.evaluator.scorers.latency_scorer import LATENCY_SCORERS_DICT

Metric = Callable[[Delays], float]
METRICS: dict[str, Metric] = {
    "al": lambda s: average_lagging(s.delays, s.source_length, s.reference_length),
    "laal": lambda s: length_adaptive_average_lagging(
        s.delays, s.source_length, s.reference_length
    ),
    "ap": lambda s: average_proportion(s.delays, s.source_length, s.reference_length),
    "dal": lambda s: differentiable_average_lagging(s.delays, s.source_length),
}
SCORERS = {name: LATENCY_SCORERS_DICT[name.upper()] for name in METRICS}
DETERMINISTIC = settings(deadline=None, derandomize=True, database=None)
LENGTHS = st.integers(min_value=1, max_value=60)


def random_sentence(rng: random.Random) -> Delays:
    """Words or ms; hypothesis shorter or longer than the reference; delays that end before, at or
    beyond the source end, some from the first word on; a reference in three of four cases."""
    in_words = rng.random() < 0.5
    source_length = rng.randint(1, 40) if in_words else rng.uniform(1.0, 20_000.0)
    reach = rng.choice([0.0, 0.3, 1.0, 1.0, 2.0, 5.0]) * source_length
    raw = [rng.uniform(0.0, reach) for _ in range(rng.choice([1, 2, rng.randint(1, 60)]))]
    if rng.random() < 0.7:
        raw = [min(delay, source_length) for delay in raw]
    delays = sorted(round(delay) if in_words else delay for delay in raw)
    reference_length = rng.choice([None, 1, len(delays), rng.randint(1, 60)])
    return Delays(delays, source_length, reference_length)


def random_corpus(seed: int = 0, size: int = 600) -> list[Delays]:
    rng = random.Random(seed)
    return [random_sentence(rng) for _ in range(size)]


def log_instance(index: int, sentence: Delays) -> LogInstance:
    """The sentence as SimulEval reads it back from its instances.log."""
    length = sentence.reference_length
    info = {
        "index": index,
        "delays": list(sentence.delays),
        "source_length": sentence.source_length,
        "reference": None if length is None else " ".join(["word"] * length),
    }
    return LogInstance(json.dumps(info))


def simuleval_score(name: str, sentences: Sequence[Delays]) -> float:
    instances = {i: log_instance(i, sentence) for i, sentence in enumerate(sentences)}
    with warnings.catch_warnings():
        # SimulEval reports a skipped sentence through the deprecated Logger.warn.
        warnings.simplefilter("ignore", DeprecationWarning)
        return float(SCORERS[name]()(instances))


def disagreements(name: str, metric: Metric) -> list[Delays]:
    """The sentences of the random corpus on which `metric` differs from SimulEval's scorer."""
    return [
        sentence
        for sentence in random_corpus()
        if metric(sentence) != pytest.approx(simuleval_score(name, [sentence]), rel=1e-9, abs=1e-9)
    ]


@pytest.mark.parametrize("name", METRICS)
def test_sentence_scores_are_those_of_simuleval(name: str) -> None:
    assert disagreements(name, METRICS[name]) == []


def test_random_corpus_holds_the_cases_that_matter() -> None:
    """The comparison above counts only if its sentences reach every branch of the scorers."""
    corpus = random_corpus()
    assert any(s.reference_length is None for s in corpus)
    assert any(len(s.delays) > (s.reference_length or 99) for s in corpus), "over-generation"
    assert any(len(s.delays) < (s.reference_length or 0) for s in corpus), "under-generation"
    assert any(s.delays[0] > s.source_length for s in corpus), "first delay beyond the source"
    assert any(s.delays[-1] > s.source_length >= s.delays[0] for s in corpus), "later delay beyond"
    assert any(s.delays[-1] < s.source_length for s in corpus), "source never read to its end"
    assert any(s.delays[:-1].count(s.source_length) > 3 for s in corpus), "source end reached early"
    assert any(len(s.delays) == 1 for s in corpus)
    assert any(s.delays[-1] == 0 for s in corpus), "all written before anything was read"
    assert any(METRICS["al"](s) < 0 for s in corpus), "negative AL"


WRONG: dict[str, tuple[str, Metric]] = {
    "al at the pace of the hypothesis": ("al", lambda s: METRICS["al"](hypothesis_as_reference(s))),
    "al without tau": ("al", lambda s: mean_lag(s, s.reference_length)),
    "al that never rewards over-generation": ("al", METRICS["laal"]),
    "laal that rewards over-generation": ("laal", METRICS["al"]),
    "ap of the hypothesis length": ("ap", lambda s: METRICS["ap"](hypothesis_as_reference(s))),
    "dal without d'": ("dal", lambda s: mean_lag(s, None)),
}


def hypothesis_as_reference(sentence: Delays) -> Delays:
    return replace(sentence, reference_length=None)


def mean_lag(sentence: Delays, target_length: int | None) -> float:
    """Mean lag over all target units: no tau, no d'."""
    pace = sentence.source_length / (target_length or len(sentence.delays))
    lags = [delay - i * pace for i, delay in enumerate(sentence.delays)]
    return sum(lags) / len(lags)


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_definition_is_caught(mistake: str) -> None:
    """The golden test can fail: near misses from the literature differ on dozens of sentences."""
    name, metric = WRONG[mistake]
    assert len(disagreements(name, metric)) > 50


def test_corpus_scores_are_those_of_simuleval() -> None:
    """SimulEval leaves empty hypotheses out of the mean; so do we."""
    corpus = random_corpus(seed=1, size=200)
    corpus[3:3] = [Delays([], 7, 5), Delays([], 9, None)]
    latency = corpus_latency(corpus)
    for name in SCORERS:
        assert getattr(latency, name) == pytest.approx(simuleval_score(name, corpus), rel=1e-9)


def test_corpus_of_empty_hypotheses_is_an_error() -> None:
    """SimulEval stops with statistics.StatisticsError here; we name the reason."""
    for corpus in ([Delays([], 7, 5)], []):
        with pytest.raises(DelayError, match="every hypothesis is empty"):
            corpus_latency(corpus)


@pytest.mark.parametrize("k", [1, 3, 9])
def test_wait_k_as_simuleval_runs_it(k: int) -> None:
    """A wait-k READ/WRITE loop on SimulEval's text instance yields our ideal delays and scores."""
    source, target = "a b c d e f g".split(), "A B C D E F G H I".split()
    item = {"source": source, "target": "r s t u v w x y", "tgt_lang": None}
    instance = TextToTextInstance(0, [item], Namespace(eval_latency_unit="word"))
    for i, word in enumerate(target):
        while instance.step < min(i + k, len(source)):
            instance.send_source(None)
        instance.receive_prediction(TextSegment(content=word, finished=word == target[-1]))

    assert instance.delays == wait_k_delays(k, len(source), len(target))
    latency = corpus_latency([Delays(instance.delays, len(source), 8)])
    for name, scorer in SCORERS.items():
        assert getattr(latency, name) == pytest.approx(scorer()({0: instance}), rel=1e-9)


@DETERMINISTIC
@given(k=LENGTHS, source=LENGTHS, hypothesis=LENGTHS, reference=LENGTHS)
def test_average_lagging_of_wait_k(k: int, source: int, hypothesis: int, reference: int) -> None:
    """AL of wait-k is k + (tau-1)/2 (1 - 1/r), r = |Y*|/|X|, for all r and lengths while k <= |X|.

    tau = min(|Y|, |X|-k+1). With k > |X| the first word already waits for the whole source: tau = 1
    and AL = |X|, so the law reads min(k, |X|) for k.
    """
    tau = min(hypothesis, max(1, source - k + 1))
    law = min(k, source) + (tau - 1) / 2 * (1 - source / reference)
    delays = wait_k_delays(k, source, hypothesis)
    assert average_lagging(delays, source, reference) == pytest.approx(law, rel=1e-9, abs=1e-9)


@DETERMINISTIC
@given(k=LENGTHS, source=LENGTHS, target=LENGTHS)
def test_lagging_of_wait_k_is_k_at_equal_lengths(k: int, source: int, target: int) -> None:
    """For k <= |X|, AL = k exactly if r = 1 or tau = 1 (one target word, or k = |X|)."""
    k = min(k, source)
    lagging = average_lagging(wait_k_delays(k, source, target), source, target)
    is_k = lagging == pytest.approx(k, rel=1e-9)
    assert is_k == (source == target or target == 1 or k == source)


@DETERMINISTIC
@given(seed=st.integers(0, 10_000), exponent=st.integers(-6, 10))
def test_unit_of_delays_is_unit_of_scores(seed: int, exponent: int) -> None:
    """Another unit: AL, LAAL and DAL scale with the delays, AP does not."""
    sentence = random_sentence(random.Random(seed))
    # A power of two scales without rounding, so d_i >= |X| holds for the same i in both units.
    scale = 2.0**exponent
    delays = [delay * scale for delay in sentence.delays]
    scaled = replace(sentence, delays=delays, source_length=sentence.source_length * scale)
    one, other = corpus_latency([sentence]), corpus_latency([scaled])
    assert (other.al, other.laal) == pytest.approx((one.al * scale, one.laal * scale))
    assert (other.dal, other.ap) == pytest.approx((one.dal * scale, one.ap))


@DETERMINISTIC
@given(seed=st.integers(0, 10_000))
def test_order_of_the_lagging_scores(seed: int) -> None:
    """LAAL never falls below AL and equals it without over-generation; DAL is never negative."""
    sentence = random_sentence(random.Random(seed))
    scores = corpus_latency([sentence])
    assert scores.laal >= scores.al - 1e-9
    if len(sentence.delays) <= (sentence.reference_length or len(sentence.delays)):
        assert scores.laal == scores.al
    assert scores.dal >= 0


# |X| = 4, |Y| = 4, |Y*| = 2. AL: pace 2, tau = 3, (1 + 0 + 0)/3. LAAL: pace 1, (1 + 1 + 2)/3.
# AP: 11/(4*2). DAL: pace 1, d' = 1 2 4 5, lags 1 1 2 2. ATD: said at 2 3 5 6, x at 1 2 3 4.
# YAAL: the first two words, pace 1, (1 + 1)/2.
OVER_GENERATING = Delays([1, 2, 4, 4], 4, 2)
# |X| = 4, |Y| = 2, |Y*| = 4. Source end never reached: tau = 2. AL = LAAL: pace 1, (1 + 1)/2.
# AP: 3/(4*4). DAL: pace 2, d' = 1 3, lags 1 1. ATD: said at 2 3, x at 1 2. YAAL = LAAL.
UNDER_GENERATING = Delays([1, 2], 4, 4)
# All five words after one of ten. AL: pace 5, 1 - 5 * (1+2+3+4)/5. LAAL: pace 2, 1 - 2 * 10/5.
# AP: 5/(10*2). DAL: pace 2, d' = 1 3 5 7 9, lags 1. ATD: said at 2 3 4 5 6, x at 1. YAAL = LAAL.
NEGATIVE = Delays([1, 1, 1, 1, 1], 10, 2)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (OVER_GENERATING, Latency(1 / 3, 4 / 3, 11 / 8, 6 / 4, 6 / 4, 1.0)),
        (UNDER_GENERATING, Latency(1.0, 1.0, 3 / 16, 1.0, 1.0, 1.0)),
        (NEGATIVE, Latency(-9.0, -3.0, 5 / 20, 1.0, 3.0, -3.0)),
        (Delays([3, 3, 3], 3, 3), Latency(3.0, 3.0, 1.0, 3.0, 3.0, None)),
        (Delays([5.0], 4.0), Latency(5.0, 5.0, 1.25, 5.0, 5.0, None)),
        (Delays([0, 0], 2), Latency(-0.5, -0.5, 0.0, 0.0, 1.5, -0.5)),
    ],
)
def test_hand_computed(sentence: Delays, expected: Latency) -> None:
    """al, laal, ap, dal, atd, yaal."""
    assert asdict(corpus_latency([sentence])) == pytest.approx(asdict(expected), abs=1e-12)


def test_corpus_score_is_the_mean_over_sentences_not_over_words() -> None:
    latency = corpus_latency([OVER_GENERATING, UNDER_GENERATING, Delays([], 3, 3)])
    assert latency.al == pytest.approx((1 / 3 + 1) / 2)
    assert latency.dal == pytest.approx((1.5 + 1) / 2)
    assert latency.atd == pytest.approx((1.5 + 1) / 2)


def test_yaal_is_the_mean_over_sentences_that_have_one() -> None:
    latency = corpus_latency([UNDER_GENERATING, NEGATIVE, Delays([3, 3], 3), Delays([], 3, 3)])
    assert latency.yaal == pytest.approx((1 - 3) / 2)
    assert corpus_latency([Delays([3, 3], 3)]).yaal is None


def test_with_a_clock_the_scores_are_those_of_its_times() -> None:
    """ATD alone also looks at the delays: they say what was READ when a word was written."""
    sentence = Delays([1, 2, 4], 4, 3, clock=[1.5, 3.5, 5.0])
    aware, late = corpus_latency([sentence]), corpus_latency([Delays([1.5, 3.5, 5.0], 4, 3)])
    assert replace(aware, atd=0) == replace(late, atd=0)
    assert aware.atd == pytest.approx(((2.5 - 1) + (4.5 - 2) + (6 - 3)) / 3)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        (Delays([], 3, 3), "empty hypothesis"),
        (Delays([1, 3, 2], 3), "d_3 = 2 follows 3"),
        (Delays([-1, 2], 3), "d_1 must be finite and not negative"),
        (Delays([1, float("nan")], 3), "d_2 must be finite"),
        (Delays([1, float("inf")], 3), "d_2 must be finite"),
        (Delays([1], 0), "source_length must be positive"),
        (Delays([1], -2), "source_length must be positive"),
        (Delays([1], float("nan")), "source_length must be positive"),
        (Delays([1], float("inf")), "source_length must be positive and finite"),
    ],
)
def test_bad_delays_are_named(metric: Metric, sentence: Delays, message: str) -> None:
    with pytest.raises(DelayError, match=message):
        metric(sentence)


@pytest.mark.parametrize("name", ["al", "laal", "ap"])
@pytest.mark.parametrize("reference_length", [0, -1])
def test_empty_reference_is_named(name: str, reference_length: int) -> None:
    """Zero must not pass for None, which stands for the hypothesis length."""
    with pytest.raises(DelayError, match="reference_length must be positive or None"):
        METRICS[name](Delays([1, 2], 3, reference_length))


def test_wait_k_delays() -> None:
    assert wait_k_delays(3, 5, 6) == [3, 4, 5, 5, 5, 5]
    assert wait_k_delays(9, 5, 2) == [5, 5]
    assert wait_k_delays(1, 5, 0) == []


@pytest.mark.parametrize(("k", "source", "target"), [(0, 5, 5), (1, 0, 5), (1, 5, -1)])
def test_wait_k_out_of_range_is_named(k: int, source: int, target: int) -> None:
    with pytest.raises(DelayError, match="wait-k needs"):
        wait_k_delays(k, source, target)
