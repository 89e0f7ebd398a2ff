"""The tools of others that say what a score has to be, SimulEval and OmniSTEval, and sentences to ask them about."""

from __future__ import annotations

import json
import math
import warnings
from argparse import Namespace
from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from omnisteval import Instance
from omnisteval.scoring import ShortformDegeneracyScorer, YAALScorer

from streamtrans.evaluation.delays import Delays

# SimulEval pulls in pydub, which warns about audioop and a missing ffmpeg while it is imported.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from simuleval.evaluator.instance import LogInstance, TextToTextInstance
    from simuleval.evaluator.scorers.latency_scorer import LATENCY_SCORERS_DICT

DETERMINISTIC = settings(deadline=None, derandomize=True, database=None, max_examples=300)
REFERENCES = st.none() | st.integers(1, 40)


def _steps(total: int) -> st.SearchStrategy[list[float]]:
    """Up to 40 delays in words, not decreasing, within the source or beyond it."""
    return st.lists(st.integers(0, total), min_size=1, max_size=40).map(sorted)


WORDS = st.integers(1, 40).flatmap(
    lambda source: st.builds(
        Delays,
        st.one_of(_steps(source), _steps(2 * source)),
        st.just(source),
        REFERENCES,
    )
)
TIMES = st.lists(st.floats(0, 20_000), min_size=1, max_size=40).map(sorted)
SPEECH = st.builds(Delays, TIMES, st.floats(1, 15_000), REFERENCES)


def simuleval(name: str, sentences: Sequence[Delays], computation_aware: bool = False) -> float:
    """SimulEval's score of sentences in ms, from its log: speech to text. `clock` is what it calls elapsed."""
    return _score(name, {i: _logged(i, s) for i, s in enumerate(sentences)}, computation_aware)


def simuleval_text(name: str, sentences: Sequence[Delays]) -> float:
    """SimulEval's score of sentences in words, as it computes it at the end of a run: text to text."""
    return _score(name, {i: _finished(i, s) for i, s in enumerate(sentences)}, False)


def omnisteval(sentence: Delays, recording_end: float | None = None) -> float | None:
    """OmniSTEval's YAAL, or its LongYAAL if there is a recording."""
    scorer = YAALScorer(is_longform=recording_end is not None)
    score = scorer.compute(_instance(sentence, recording_end))
    return None if score is None else float(score)


def omnisteval_corpus(sentences: Sequence[Delays]) -> dict[str, float]:
    """OmniSTEval's figures of a corpus: `yaal`, `swf`, `efsw`, `dsptv`, `degenerate_policy`."""
    instances = [_instance(sentence) for sentence in sentences]
    return {"yaal": YAALScorer()(instances), **ShortformDegeneracyScorer()(instances)}


def agree(ours: float | None, theirs: float | None) -> bool:
    """Both undefined, or equal to 1e-9."""
    if ours is None or theirs is None:
        return ours is theirs
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)


def _score(name: str, instances: dict[int, object], computation_aware: bool) -> float:
    with warnings.catch_warnings():
        # SimulEval reports a skipped sentence through the deprecated Logger.warn.
        warnings.simplefilter("ignore", DeprecationWarning)
        return float(LATENCY_SCORERS_DICT[name](computation_aware)(instances))


def _reference(sentence: Delays) -> str | None:
    length = sentence.reference_length
    return None if length is None else " ".join(["word"] * length)


def _logged(index: int, sentence: Delays) -> LogInstance:
    line = {
        "index": index,
        "delays": list(sentence.delays),
        "elapsed": list(sentence.times),
        "source_length": sentence.source_length,
        "reference": _reference(sentence),
    }
    return LogInstance(json.dumps(line))


def _finished(index: int, sentence: Delays) -> TextToTextInstance:
    words = ["word"] * int(sentence.source_length)
    item = {"source": words, "target": _reference(sentence), "tgt_lang": None}
    instance = TextToTextInstance(index, {index: item}, Namespace(eval_latency_unit="word"))
    instance.delays = list(sentence.delays)
    return instance


def _instance(sentence: Delays, recording_end: float | None = None) -> Instance:
    reference = _reference(sentence)
    return Instance(
        index=0,
        prediction=" ".join(["word"] * len(sentence.delays)),
        reference=" ".join(["word"] * len(sentence.delays)) if reference is None else reference,
        source_length=sentence.source_length,
        emission_cu=list(sentence.delays),
        time_to_recording_end=recording_end,
        latency_unit="word",
    )
