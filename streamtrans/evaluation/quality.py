"""How good a translation is against its references: corpus BLEU and chrF, computed by sacreBLEU.

This file knows which scores we report and that a figure travels with its signature. It does not
know how the scores are computed, where the text comes from, or how it was detokenised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF


class QualityError(ValueError):
    """Hypotheses and references that do not form a corpus to score."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Corpus scores from 0 to 100, each with the sacreBLEU signature that makes it comparable."""

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


def score(hypotheses: Sequence[str], references: Sequence[str]) -> Quality:
    """Corpus BLEU (Papineni et al. 2002) and chrF (Popović 2015), sacreBLEU defaults (Post 2018).

    Line i of `hypotheses` translates the same source as line i of `references`, both detokenised
    and in true case. An empty hypothesis counts, against the system.

    Raises `QualityError` if the numbers of lines differ (sacreBLEU would score the shorter part in
    silence), if there are none, or if a single string stands where a sequence of lines belongs.
    """
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise QualityError("hypotheses and references are sequences of lines, not one string")
    if len(hypotheses) != len(references):
        raise QualityError(f"{len(hypotheses)} hypotheses for {len(references)} references")
    if len(hypotheses) == 0:
        raise QualityError("no lines to score")
    bleu, chrf = BLEU(), CHRF()
    # One reference stream: sacreBLEU takes a list of streams, each as long as the hypotheses.
    bleu_score = bleu.corpus_score(hypotheses, [references]).score
    chrf_score = chrf.corpus_score(hypotheses, [references]).score
    # A signature knows the number of references only after scoring.
    return Quality(bleu_score, chrf_score, str(bleu.get_signature()), str(chrf.get_signature()))
