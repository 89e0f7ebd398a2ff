"""The figures under a translation.

This file knows lags. AL and LAAL come from the caller, who may import the evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamtrans_clients.file import Timed


@dataclass(frozen=True)
class Summary:
    """Times in ms; AL and LAAL in words, or in ms of sound of what was spoken. None: there is nothing to measure."""

    source_words: int
    target_words: int
    first_word_ms: float | None
    al: float | None
    laal: float | None
    lag_p50_ms: float | None
    lag_p95_ms: float | None
    spoken: bool = False


def summarise(
    words: Sequence[Timed], al: float | None, laal: float | None, spoken: bool = False
) -> Summary:
    """First-word delay: from the first source word sent to the first committed word received."""
    source = [word for word in words if word.side == "source"]
    target = [word for word in words if word.side == "target"]
    if not source or not target:
        return Summary(len(source), len(target), None, al, laal, None, None, spoken)
    first = (target[0].received_at - source[0].sent_at) * 1000
    p50, p95 = np.percentile([word.lag_ms for word in target], (50, 95))
    return Summary(len(source), len(target), first, al, laal, float(p50), float(p95), spoken)
