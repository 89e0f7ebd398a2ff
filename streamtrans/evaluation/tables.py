"""Records of a benchmark as tables: CSV with all there is, Markdown with what is compared.

It knows columns. It does not know how a figure came to be.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence

from streamtrans.evaluation.journal import Record
from streamtrans.evaluation.markdown import head, row

FULL_SENTENCE = "full-sentence"
COLUMNS: dict[str, Callable[[Record], str]] = {
    "system": lambda r: str(r["system"]),
    "weights (M)": lambda r: f"{r['parameters'] / 1e6:.2f}",
    "policy": lambda r: _policy(r),
    "BLEU": lambda r: f"{r['bleu']:.2f}",
    "chrF": lambda r: f"{r['chrf']:.1f}",
    "AL": lambda r: f"{r['al']:.2f}",
    "LAAL": lambda r: f"{r['laal']:.2f}",
    "DAL": lambda r: f"{r['dal']:.2f}",
    "AP": lambda r: f"{r['ap']:.2f}",
    "kept (%)": lambda r: "-" if r["kept"] is None else f"{r['kept']:.1f}",
}


def with_kept(records: Sequence[Record]) -> list[Record]:
    """Each record with `kept`: BLEU in percent of the same system's for full sentences; None if that is not there."""
    whole = full_sentence_bleu(records)
    return [
        {**r, "kept": 100 * r["bleu"] / whole[r["system"]] if whole.get(r["system"]) else None}
        for r in records
    ]


def full_sentence_bleu(records: Sequence[Record]) -> dict[str, float]:
    """BLEU of the full-sentence search of each system that has one."""
    return {r["system"]: r["bleu"] for r in records if r["policy"] == FULL_SENTENCE}


def best(records: Sequence[Record], al: float = 4.0) -> list[Record]:
    """The record of highest BLEU of each system among those that lag by `al` source words at most (AL)."""
    chosen: dict[str, Record] = {}
    for record in records:
        streams = record["policy"] != FULL_SENTENCE and record["al"] <= al
        if streams and record["bleu"] > chosen.get(record["system"], {"bleu": -1.0})["bleu"]:
            chosen[record["system"]] = record
    return list(chosen.values())


def _policy(record: Record) -> str:
    beam = f", beam {record['beam']}" if record["beam"] > 1 else ""
    return f"{record['policy']}{beam}" + (" (degenerate)" if record["degenerate"] else "")


def markdown(records: Sequence[Record]) -> str:
    """One row for each record of `with_kept`."""
    lines = [head(COLUMNS)]
    for record in records:
        lines.append(row(text(record) for text in COLUMNS.values()))
    return "\n".join(lines) + "\n"


def page(records: Sequence[Record], al: float = 4.0) -> str:
    """Records of one test set, from `with_kept`: all, the best of each system, and the units of the figures."""
    first = records[0]
    lines = [f"# {first['test']}, {first['sentences']} sentences", "", markdown(records)]
    if chosen := best(records, al):
        lines += [f"Best BLEU of each system at AL <= {al:g}:", "", markdown(chosen)]
    lines.append(
        "BLEU and chrF on detokenised, cased text; AL, LAAL and DAL in source words, AP a share; kept: BLEU in percent"
        " of the full-sentence BLEU of the same system; degenerate: the share of words that come"
        " before the source ends is far from what the lag lets one expect, so the lag says little.\n"
        f"BLEU `{first['signature']}`, chrF `{first['chrf_signature']}`."
    )
    return "\n".join(lines) + "\n"


def comma_separated(records: Sequence[Record]) -> str:
    """One line for each record, a column for each figure that any of them has; nested figures as JSON."""
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow(
            {
                name: json.dumps(value) if isinstance(value, dict | list) else value
                for name, value in record.items()
            }
        )
    return text.getvalue()
