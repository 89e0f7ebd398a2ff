"""How good a translation is against its references: BLEU and chrF by sacreBLEU, COMET where it is installed.

This file knows which scores we report and that a figure travels with its signature. It does not
know how the scores are computed, where the text comes from, or how it was detokenised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import zip_longest
from typing import cast

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

COMET_MODEL = "Unbabel/wmt22-comet-da"


class QualityError(ValueError):
    """Hypotheses and references that do not form a corpus to score."""


class CometMissing(RuntimeError):
    """COMET is not installed."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Corpus scores from 0 to 100, each with the sacreBLEU signature that makes it comparable."""

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


def score(hypotheses: Sequence[str], references: Sequence[str | Sequence[str]]) -> Quality:
    """Corpus BLEU (Papineni et al. 2002) and chrF (Popović 2015), sacreBLEU defaults (Post 2018).

    Line i of `hypotheses` translates the same source as line i of `references`, both detokenised
    and in true case; a line of references may be several, not everywhere as many. An empty
    hypothesis counts, against the system.

    Raises `QualityError` if the numbers of lines differ (sacreBLEU would score the shorter part in
    silence), if there are none, if a line has no reference, or if a single string stands where a
    sequence of lines belongs.
    """
    _check(hypotheses, references)
    streams = _streams(references)
    bleu, chrf = BLEU(), CHRF()
    bleu_score = bleu.corpus_score(hypotheses, streams).score
    chrf_score = chrf.corpus_score(hypotheses, streams).score
    # A signature knows the number of references only after scoring.
    return Quality(bleu_score, chrf_score, str(bleu.get_signature()), str(chrf.get_signature()))


def _streams(references: Sequence[str | Sequence[str]]) -> list[list[str]]:
    """As sacreBLEU takes them: the first reference of each line, the second, ...; None where there is none."""
    lines = [[line] if isinstance(line, str) else list(line) for line in references]
    if not all(lines):
        raise QualityError("a line has no reference")
    streams = [list(stream) for stream in zip_longest(*lines)]
    return cast("list[list[str]]", streams)  # sacreBLEU's annotations do not know of None


def require_comet() -> None:
    """Raises CometMissing, with what to install."""
    if find_spec("comet") is None:
        raise CometMissing("COMET is an extra: pip install 'streamtrans[comet]'")


def comet(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    model: str = COMET_MODEL,
) -> float:
    """System score of COMET (Rei et al. 2022), the mean over the lines; about 0 to 1 for the default model.

    The model is the name of one that COMET downloads, or the path of a checkpoint (`.ckpt`). Runs on the GPU where
    there is one. Raises CometMissing, and QualityError as `score` does.
    """
    _check(hypotheses, references)
    _check(sources, references)
    require_comet()
    import torch
    from comet import download_model, load_from_checkpoint

    path = model if model.endswith(".ckpt") else download_model(model)
    lines = [
        {"src": source, "mt": hypothesis, "ref": reference}
        for source, hypothesis, reference in zip(sources, hypotheses, references, strict=True)
    ]
    gpus = int(torch.cuda.is_available())
    return float(load_from_checkpoint(path).predict(lines, gpus=gpus).system_score)


def _check(lines: Sequence[str], references: Sequence[str | Sequence[str]]) -> None:
    if isinstance(lines, str) or isinstance(references, str):
        raise QualityError("hypotheses and references are sequences of lines, not one string")
    if len(lines) != len(references):
        raise QualityError(f"{len(lines)} hypotheses for {len(references)} references")
    if len(lines) == 0:
        raise QualityError("no lines to score")
