"""Quality and latency of a model on the test sets, as in its card: `python -m bench.scores --data FOLDER`.

FOLDER holds the test sets of the model's languages: tatoeba.en-fr.test.tsv and europarl.en-fr.test.tsv, or
tatoeba.en-zh.test.tsv for Chinese to English. Prints a Markdown table and writes scores.json beside
the model. Tatoeba: distinct sources, first reference. The two smaller sets are those of a first feasibility run.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import torch

from streamtrans import pretrained
from streamtrans.evaluation import testsets
from streamtrans.evaluation.markdown import head, row
from streamtrans.evaluation.report import evaluate
from streamtrans.evaluation.testsets import Bitext
from streamtrans.translator import load_engine

COLUMNS = ("test set", "policy", "BLEU", "chrF", "AL", "LAAL", "DAL", "AP", "s")
POLICIES = ("wait-1", "wait-3", "wait-5", "wait-7", "full")


def test_sets(folder: Path, source: str) -> list[Bitext]:
    """Of Chinese one test set, of English two and a part of each."""
    if source == "zh":
        chinese = testsets.load("tatoeba.zh-en", folder)
        return [replace(chinese, name=f"tatoeba ({len(chinese.pairs)})")]
    tatoeba = testsets.load("tatoeba.en-fr", folder)
    europarl = testsets.load("europarl.en-fr", folder)
    short = [pair for pair in europarl.pairs if len(pair[0].split()) <= 25]
    return [
        replace(tatoeba, name=f"tatoeba ({len(tatoeba.pairs)})"),
        replace(europarl, name=f"europarl ({len(europarl.pairs)})"),
        replace(tatoeba, name="tatoeba first 500", pairs=tatoeba.pairs[:500]),
        replace(europarl, name="europarl short 300", pairs=tuple(short[:300])),
    ]


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
    print(head(COLUMNS))
    for test in test_sets(args.data, engine.model.source):
        if args.only not in test.name:
            continue
        test = test.by_length()
        for policy in args.policies:
            r, _ = evaluate(engine, test.sources, test.references, policy)
            scores = f"{r.bleu:.2f}", f"{r.chrf:.1f}"
            lags = (f"{lag:.2f}" for lag in (r.al, r.laal, r.dal, r.ap))
            print(row((test.name, policy, *scores, *lags, f"{r.seconds:.0f}")), flush=True)
            rows.append({"test": test.name, **asdict(r)})
    if not rows:
        parser.error(f"no test set is called {args.only!r}")
    print(f"\n{rows[0]['signature']}; {rows[0]['chrf_signature']}")
    if not args.only and tuple(args.policies) == POLICIES:
        path = pretrained.find(args.model) / "scores.json"
        path.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
