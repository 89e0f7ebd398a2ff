"""Quality and latency of a model on the test sets, as in its card: `python -m bench.scores --data FOLDER`.

FOLDER holds tatoeba.en-fr.test.tsv and europarl.en-fr.test.tsv. Prints a Markdown table and writes scores.json beside
the model. Tatoeba: distinct sources, first reference. The two smaller sets are those of a first feasibility run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch

from streamtrans import pretrained
from streamtrans.evaluation.report import evaluate
from streamtrans.translator import load_engine

POLICIES = ("wait-1", "wait-3", "wait-5", "wait-7", "full")


def pairs(path: Path) -> list[tuple[str, str]]:
    """Distinct sources with their first reference."""
    found: dict[str, str] = {}
    with path.open(encoding="utf-8") as lines:  # splitlines would cut at U+2028 and U+0085, too
        for line in lines:
            source, target = line.rstrip("\n").split("\t")[:2]
            found.setdefault(source, target)
    return list(found.items())


def test_sets(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Name and pairs of each test set."""
    tatoeba = pairs(folder / "tatoeba.en-fr.test.tsv")
    europarl = pairs(folder / "europarl.en-fr.test.tsv")
    short = [pair for pair in europarl if len(pair[0].split()) <= 25]
    return {
        f"tatoeba ({len(tatoeba)})": tatoeba,
        f"europarl ({len(europarl)})": europarl,
        "tatoeba first 500": tatoeba[:500],
        "europarl short 300": short[:300],
    }


def main() -> None:
    """Evaluate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="en-fr")
    parser.add_argument("--only", default="", help="test sets whose name holds this")
    parser.add_argument("--policies", nargs="*", default=POLICIES)
    args = parser.parse_args()
    torch.set_num_threads(2)
    engine = load_engine(args.model, "auto", "auto", max_sessions=512, max_batch=256)
    rows = []
    print(
        "| test set | policy | BLEU | chrF | AL | LAAL | DAL | AP | s |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name, test in test_sets(args.data).items():
        if args.only not in name:
            continue
        # alike in length: sessions that end together waste no batches
        test = sorted(test, key=lambda pair: len(pair[0]))
        sources, references = [p[0] for p in test], [p[1] for p in test]
        for policy in args.policies:
            r, _ = evaluate(engine, sources, references, policy)
            print(
                f"| {name} | {policy} | {r.bleu:.2f} | {r.chrf:.1f} | {r.al:.2f} | {r.laal:.2f} | {r.dal:.2f}"
                f" | {r.ap:.2f} | {r.seconds:.0f} |",
                flush=True,
            )
            rows.append({"test": name, **dataclasses.asdict(r)})
    if not rows:
        parser.error(f"no test set is called {args.only!r}")
    print(f"\n{rows[0]['signature']}; {rows[0]['chrf_signature']}")
    if not args.only and tuple(args.policies) == POLICIES:
        path = pretrained.find(args.model) / "scores.json"
        path.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
