"""Does a word cost more the longer the stream has run? Time per word over one stream of thousands of words.

`python -m bench.step [--model en-fr] [--words 3000]`. Once with sentence ends, once without any (the segment is then
cut by its bounds). Prints the mean ms per word of the second tenth (the first warms up) and the last, and their ratio.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import cycle, islice

import numpy as np
import torch

import streamtrans
from bench import texts
from streamtrans.evaluation.server_process import machine


def main() -> None:
    """Print two JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="en-fr")
    parser.add_argument("--words", type=int, default=3000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    translator = streamtrans.load(args.model, device="cpu", max_sessions=1)
    for ends in (True, False):
        words = list(islice(cycle(texts.words()), args.words))
        if not ends:
            words = [word.rstrip(".,;:!?") or "and" for word in words]
        times = []
        with translator.open("wait-3") as session:
            for word in words:
                started = time.perf_counter()
                session.feed(word + " ")
                times.append((time.perf_counter() - started) * 1000)
        tenth = len(times) // 10
        first, last = (float(np.mean(part)) for part in (times[tenth : 2 * tenth], times[-tenth:]))
        print(
            json.dumps(
                {
                    "bench": "step",
                    "sentence_ends": ends,
                    "words": len(words),
                    "mean_ms_second_tenth": round(first, 2),
                    "mean_ms_last_tenth": round(last, 2),
                    "ratio": round(last / first, 3),
                    **machine(),
                }
            )
        )


if __name__ == "__main__":
    main()
