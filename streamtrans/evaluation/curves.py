"""A picture of quality against latency: BLEU over AL and over LAAL, a curve for each system and kind of policy.

It knows records of a benchmark and matplotlib, which is an extra: `pip install 'streamtrans[bench]'`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from streamtrans.evaluation.journal import Record
from streamtrans.evaluation.tables import FULL_SENTENCE, full_sentence_bleu

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = {"al": "AL (source words)", "laal": "LAAL (source words)"}
COLUMNS = 3  # of the legend
STYLES = {"wait": "o-", "adaptive": "s--", "monotonic": "*:"}


class CurveError(RuntimeError):
    """No picture can be drawn here."""


def require_matplotlib() -> None:
    """Raises CurveError, which says how to get it."""
    if find_spec("matplotlib") is None:
        raise CurveError("pictures need matplotlib: pip install 'streamtrans[bench]'")


def draw(records: Sequence[Record], path: Path) -> None:
    """Write a PNG; a dashed horizontal line is the full-sentence BLEU of its colour's system. Raises CurveError."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = len({(r["system"], _kind(r["policy"])) for r in records})
    figure = Figure(figsize=(11, 4.6 + 0.2 * (curves / COLUMNS)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (metric, label) in zip(panels, PANELS.items(), strict=True):
        _draw_panel(axes, records, metric)
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("BLEU")
    if records:
        figure.suptitle(f"{records[0]['test']}, {records[0]['sentences']} sentences")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=COLUMNS, fontsize="small")
    figure.savefig(path, dpi=150, format="png")


def _draw_panel(axes: Axes, records: Sequence[Record], metric: str) -> None:
    from matplotlib import colormaps

    whole = full_sentence_bleu(records)
    for number, system in enumerate(dict.fromkeys(r["system"] for r in records)):
        colour = colormaps["tab20"](
            (2 * number + number // 10) % 20
        )  # ten strong ones, then ten pale
        own = [r for r in records if r["system"] == system and r["policy"] != FULL_SENTENCE]
        for kind in dict.fromkeys(_kind(r["policy"]) for r in own):
            points = sorted((r[metric], r["bleu"]) for r in own if _kind(r["policy"]) == kind)
            x, y = zip(*points, strict=True)
            axes.plot(x, y, STYLES.get(kind, "o-"), color=colour, label=f"{system}, {kind}")
        if system in whole:
            label = f"{system}, {FULL_SENTENCE}"
            axes.axhline(whole[system], color=colour, linestyle=(0, (6, 4)), label=label)


def _kind(policy: str) -> str:
    """`wait-3`, `wait-5` and `full`, which waits for ever, are points of one curve."""
    return "wait" if policy == "full" else policy.split("-")[0]
