"""Reports of speech as a Markdown table. It knows columns. It does not know how a figure came to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamtrans.evaluation.journal import Record
from streamtrans.evaluation.markdown import head, row
from streamtrans.evaluation.own_reference import OWN

COLUMNS: dict[str, Callable[[Record], str]] = {
    "test set": lambda r: f"{r['test']} ({r['sentences']})",
    "WER (%)": lambda r: f"{100 * r['wer']:.1f}",
    "CER (%)": lambda r: f"{100 * r['cer']:.1f}",
    "policy": lambda r: str(r["policy"]) + (" (degenerate)" if r["degenerate"] else ""),
    "BLEU": lambda r: f"{r['bleu']:.2f}" + ("\\*" if r["reference"] == OWN else ""),
    "chrF": lambda r: f"{r['chrf']:.1f}",
    "AL": lambda r: _ms(r, "", "al"),
    "LAAL": lambda r: _ms(r, "", "laal"),
    "YAAL": lambda r: _ms(r, "", "yaal"),
    "timed": lambda r: str(r["timed"] or "-"),
    "AL, CA": lambda r: f"{_ms(r, 'timed_', 'al')}, {_ms(r, 'ca_', 'al')}",
    "LAAL, CA": lambda r: f"{_ms(r, 'timed_', 'laal')}, {_ms(r, 'ca_', 'laal')}",
    "lag p50, p95, p99": lambda r: _lags(r),
    "RTF": lambda r: "-" if r["rtf"] is None else f"{r['rtf']:.3f}",
}
ONCE = ("test set", "WER (%)", "CER (%)")  # the same under every policy


def markdown(records: Sequence[Record]) -> str:
    """One row for each report as a dictionary; error rates stand in the first row of a set."""
    lines = [head(COLUMNS)]
    last = None
    for record in records:
        cells = [
            "" if name in ONCE and record["test"] == last else text(record)
            for name, text in COLUMNS.items()
        ]
        last = record["test"]
        lines.append(row(cells))
    return "\n".join(lines) + "\n"


def legend(records: Sequence[Record]) -> str:
    """Units of the figures and signatures of the scores."""
    lines = [
        "AL, LAAL, YAAL in ms of audio; StreamLAAL and LongYAAL where a recording has several sentences (no AL there)."
        " From `timed` on of so many recordings of the set, each alone on one thread: latency without and with the time"
        " of computing (CA), lag: ms that computing adds to a word, RTF: s of computing per s of audio."
    ]
    if any(record["reference"] == OWN for record in records):
        lines.append(f"\\* against {OWN}: no human reference.")
    signatures = dict.fromkeys(f"`{r['signature']}`, `{r['chrf_signature']}`" for r in records)
    return "\n".join([*lines, *signatures]) + "\n"


def _ms(record: Record, kind: str, name: str) -> str:
    if record["long"]:
        name = {"laal": "stream_laal", "yaal": "long_yaal"}.get(name, name)
    value = record[kind + name]
    return "-" if value is None else f"{value:.0f}"


def _lags(record: Record) -> str:
    names = ("lag_p50", "lag_p95", "lag_p99")
    return "-" if not record["timed"] else ", ".join(f"{record[name]:.0f}" for name in names)
