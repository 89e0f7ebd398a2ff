"""Does a stream of speech cost more the longer it has run? Memory and time over hours of sound, in the whole engine.

`python -m bench.soak [--hours 0.1] [--model en-fr] [--recognizer auto] [--policy wait-3]`. One session on one thread,
sentences of the test texts spoken by espeak-ng in many voices, with pauses between them and quiet noise under all, in
pieces of 100 ms as fast as they are heard. Prints the real-time factor (s of processor time to s of sound), the ms a
piece costs and the memory (MiB resident) in the second tenth (the first warms up) and in the last. Without a trained
recogniser the weights are random, which costs as much and hears nonsense.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import torch

from bench import texts
from streamtrans.audio.resample import RATE
from streamtrans.engine import Engine
from streamtrans.evaluation.server_process import machine
from streamtrans.messages import Audio, Error, Segment, Source, Target
from streamtrans.models.recognizer import Recognizer, RecognizerConfig
from streamtrans.training.recipe import load_recipe
from streamtrans.training.synthesis import Synthesizer, Voice
from streamtrans.translator import load_engine

PIECE = RATE // 10
SENTENCE, SENTENCES = 12, 40  # words


def main() -> None:
    """Print a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=0.1)
    parser.add_argument("--model", default="en-fr")
    parser.add_argument("--recognizer", default="auto")
    parser.add_argument("--policy", default="wait-3")
    args = parser.parse_args()
    torch.set_num_threads(1)
    engine = load_engine(args.model, "cpu", max_sessions=1, max_batch=1, recognizer=args.recognizer)
    trained = engine.hears
    if not trained:
        engine = deaf_but_busy(engine)
    pieces = round(args.hours * 3600 * RATE / PIECE)
    times, memory, counts = soak(engine, args.policy, pieces)
    tenth = max(1, pieces // 10)
    second, last = slice(tenth, 2 * tenth), slice(-tenth, None)
    first_ms, last_ms = float(np.mean(times[second])), float(np.mean(times[last]))
    result = {
        "bench": "soak",
        "hours": args.hours,
        "recognizer": args.recognizer if trained else "random weights",
        **counts,
        "real_time_factor": round(float(np.sum(times)) / (pieces * 100), 3),
        "piece_ms_p50": round(float(np.percentile(times, 50)), 2),
        "piece_ms_p99": round(float(np.percentile(times, 99)), 2),
        "mean_ms_second_tenth": round(first_ms, 2),
        "mean_ms_last_tenth": round(last_ms, 2),
        "ratio": round(last_ms / first_ms, 3),
        "mib_second_tenth": round(max(memory[second])),
        "mib_last_tenth": round(max(memory[last])),
        "mib_peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        **machine(),
    }
    print(json.dumps(result))


def soak(
    engine: Engine, policy: str, pieces: int
) -> tuple[list[float], list[float], dict[str, int]]:
    """ms of processor time and MiB after each piece; how many events there were."""
    session, sound = engine.open(policy, rate=RATE), stream()
    kinds = {Source: "source_words", Target: "target_words", Segment: "segments"}
    counts = dict.fromkeys(kinds.values(), 0)
    times, memory = [], []
    for _ in range(pieces):
        piece = next(sound)
        started = time.process_time()
        engine.feed(session, Audio(piece))
        while engine.ready:
            for _, event in engine.tick():
                assert not isinstance(event, Error), event
                if name := kinds.get(type(event)):
                    counts[name] += 1
        times.append((time.process_time() - started) * 1000)
        memory.append(resident())
    return times, memory, counts


def deaf_but_busy(engine: Engine) -> Engine:
    """The same text model with a recogniser of the real size that has learned nothing."""
    recipe = load_recipe("en-fr-speech")
    torch.manual_seed(0)
    config = RecognizerConfig(**{**recipe.model, "vocabulary": engine.vocabulary.size})
    random = Recognizer(config).eval().requires_grad_(False)
    return Engine(engine._model, engine.vocabulary, 1, 1, recognizer=(random, engine.vocabulary))


def stream() -> Iterator[bytes]:
    """Pieces of sound without end: sentences in turn, 0.2 to 2 s apart, quiet noise under all."""
    speaker, rng, words = Synthesizer(), np.random.default_rng(0), texts.words()
    sentences = [
        speaker.speak(" ".join(words[at : at + SENTENCE]), Voice.draw("en", rng)).samples
        for at in range(0, SENTENCE * SENTENCES, SENTENCE)
    ]
    left = np.zeros(0, np.float32)
    for sentence in cycle(sentences):
        pause = np.zeros(int(rng.uniform(0.2, 2) * RATE), np.float32)
        left = np.concatenate((left, sentence, pause))
        while len(left) >= PIECE:
            piece = left[:PIECE] + rng.normal(0, 1e-3, PIECE)
            yield (piece.clip(-1, 1) * 32767).astype("<i2").tobytes()
            left = left[PIECE:]


def resident() -> float:
    """MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
