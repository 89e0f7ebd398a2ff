"""Toys for tests: a vocabulary learned from a few made-up sentences and a tiny model with random weights."""

from __future__ import annotations

import copy
import functools
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from streamtrans.audio.features import LogMel
from streamtrans.audio.pcm import Samples
from streamtrans.audio.speech_detector import FRAME, WINDOW, DetectorState, SpeechDetector
from streamtrans.engine import Engine, Session
from streamtrans.messages import Command, Event
from streamtrans.models.config import ModelConfig
from streamtrans.models.ctc import CTCWords, HeardWord
from streamtrans.models.model import Model
from streamtrans.models.ngram import NGrams
from streamtrans.models.piece_states import evidence
from streamtrans.models.recognizer import Recognizer, RecognizerConfig, best
from streamtrans.nn.windows import next_windows
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.language_model import build
from streamtrans.training.recipe import RECIPES, load_recipe

WORDS = (
    "the one old young small quiet green house boat river student teacher reads writes sees finds takes gives and or"
    " with under over near slowly often today tomorrow never book letter window door garden bread water light"
).split()


def sentences(count: int, seed: int = 0, longest: int = 12) -> list[str]:
    """Sentences of made-up sense, each ending in a full stop."""
    g = torch.Generator().manual_seed(seed)
    result = []
    for _ in range(count):
        length = int(torch.randint(2, longest + 1, (), generator=g))
        picks = torch.randint(len(WORDS), (length,), generator=g).tolist()
        result.append(" ".join(WORDS[i] for i in picks) + ".")
    return result


def _systems(**has: tuple[object, ...]) -> tuple[str, ...]:
    """Those of systems.toml whose model table has any of these values."""
    tables = tomllib.loads((RECIPES / "systems.toml").read_text())
    models = {name: table.get("model", {}) for name, table in tables.items()}
    return tuple(n for n, m in models.items() if not has or any(m.get(k) in has[k] for k in has))


SYSTEMS = _systems()
OFFLINE = _systems(bidirectional=(True,), reversed_source=(True,))
STREAMING = tuple(name for name in SYSTEMS if name not in OFFLINE)
MONOTONIC = _systems(attention=("hard-monotonic", "mocha", "infinite-lookback"))


@functools.cache
def vocabulary() -> Vocabulary:
    """A joint vocabulary of 340 pieces."""
    with tempfile.TemporaryDirectory() as folder:
        return Vocabulary.train(sentences(400), 340, Path(folder) / "toy.model")


@functools.cache
def spoken_vocabulary() -> Vocabulary:
    """60 pieces without single bytes, as a recogniser has them: most labels at random make words."""
    lines = [line.rstrip(".") for line in sentences(400)]
    with tempfile.TemporaryDirectory() as folder:
        return Vocabulary.train(lines, 60, Path(folder) / "toy.model", byte_fallback=False)


class ToyModel(Model):
    """Likes one piece after another of the vocabulary best, the source has a say, and never writes single bytes."""

    def logits(self, x: Tensor) -> Tensor:
        scores = F.linear(x, self.embedding.weight.roll(37, 0))
        scores[..., 4:260] = -torch.inf
        return scores


def model(seed: int = 0, made: type[Model] = ToyModel, **changes: object) -> Model:
    """A tiny model in float64, so that batches of any size round alike; random weights translate nothing."""
    torch.manual_seed(seed)
    values: dict[str, object] = dict(
        name="toy",
        source="en",
        target="fr",
        vocabulary=vocabulary().size,
        dim=32,
        heads=2,
        hidden=48,
        encoder_layers=2,
        decoder_layers=2,
        window=64,
        memory=96,
        words=24,
        dropout=0.0,
    )
    toy = made(ModelConfig(**(values | changes))).double().eval()  # type: ignore[arg-type]
    torch.nn.init.normal_(toy.embedding.weight, std=0.3)
    return toy.requires_grad_(False)


def system(name: str, seed: int = 0, made: type[Model] = ToyModel, **changes: object) -> Model:
    """A system of systems.toml, as tiny as `model`."""
    table = load_recipe(f"multi30k.en-fr/{name}").model
    small = dict(dim=24, hidden=32, encoder_layers=2, decoder_layers=2, dropout=0.0)
    return model(seed, made, **{**table, **small, **changes})  # type: ignore[arg-type]


def engine(max_sessions: int = 16, max_batch: int = 8, seed: int = 0, **changes: object) -> Engine:
    """An engine over a tiny model."""
    return Engine(model(seed, **changes), vocabulary(), max_sessions, max_batch)


HEARD = RecognizerConfig(
    name="toy", language="en", vocabulary=60, mels=8, subsampling=4, dim=16, heads=2, hidden=16, layers=2,
    kernel=3, window=12, chunk=2, ahead=1, piece=8,
)  # fmt: skip


@functools.cache
def recognizer(config: RecognizerConfig = HEARD) -> Recognizer:
    """Random weights in float64, loud enough that what is heard changes often."""
    torch.manual_seed(3)
    made = Recognizer(config).double().eval().requires_grad_(False)
    made.normalization.mean.fill_(-5)
    torch.nn.init.normal_(made.output.weight)
    return made


@functools.cache
def language_model() -> NGrams:
    """Of the pieces of `spoken_vocabulary`, from the sentences that these were learned from."""
    lines = [line.rstrip(".") for line in sentences(400)]
    return build([(lines, 1)], spoken_vocabulary(), 3, 2000)


@functools.cache
def advised_recognizer() -> Recognizer:
    """`recognizer` with `language_model`."""
    made = copy.copy(recognizer())
    made.language_model = language_model()
    return made


def heard_wholly(
    recognizer: Recognizer, vocabulary: Vocabulary, samples: Samples
) -> list[HeardWord]:
    """The words of one segment of 16 kHz, offline: one forward of each part, silence behind the samples."""
    config, frames = recognizer.config, len(samples) // 160
    behind = max(0, 160 * (frames + config.tail(frames)) - len(samples))
    _, dtype = recognizer.place()
    padded = torch.from_numpy(np.pad(samples, (0, behind))).to(dtype)[None]
    states = recognizer.encode(LogMel(config.mels).to(dtype)(padded))
    logits = recognizer.output(states)
    words = CTCWords(vocabulary, config, config.language)
    return words.feed(best(logits[0]).tolist(), evidence(states, logits)[0]) + words.flush()


class Loudness(SpeechDetector):
    """Says that all that is not quite silent is speech: no noise made here would be speech to the real one."""

    def step(
        self, x: Tensor, state: DetectorState, lengths: Tensor | None = None
    ) -> tuple[Tensor, DetectorState]:
        frames, samples = next_windows(x[..., None], state.samples, WINDOW, FRAME, lengths)
        loud = frames[:, :, -FRAME:, 0].square().mean(-1) > 1e-8
        return loud.to(x.dtype), DetectorState(samples, state.memory)


@functools.cache
def noise(seconds: float = 3.0, seed: int = 0) -> Samples:
    """Noise of 16 kHz whose loudness and colour change every 50 ms: to the toys, speech."""
    rng = np.random.default_rng(seed)
    parts = [
        np.convolve(rng.normal(0, 10 ** rng.uniform(-3, -1), 807), rng.normal(size=8))[7:807]
        for _ in range(int(seconds * 20))
    ]
    return np.concatenate(parts).clip(-1, 1).astype(np.float32)


def hearing_engine(
    max_sessions: int = 4,
    max_batch: int = 8,
    detector: SpeechDetector | None = None,
    ear: Recognizer | None = None,
) -> Engine:
    """An engine that hears: words at random, but always the same for the same sound; segments may be long."""
    heard = (ear or recognizer(), spoken_vocabulary())
    torch.manual_seed(0)
    return Engine(
        model(words=80, window=240, memory=240),
        vocabulary(),
        max_sessions,
        max_batch,
        recognizer=heard,
        detector=detector or Loudness(),
    )


def direct_model(seed: int = 0) -> Model:
    """A toy that READs the states of `recognizer`."""
    return model(seed, states=HEARD.dim, words=80, window=240, memory=240)


def direct_engine(
    max_sessions: int = 4, max_batch: int = 8, beam: int = 1, ear: Recognizer | None = None
) -> Engine:
    """An engine over `direct_model`, which hears as `hearing_engine` does."""
    heard = (ear or recognizer(), spoken_vocabulary())
    return Engine(
        direct_model(), vocabulary(), max_sessions, max_batch, beam, heard, detector=Loudness()
    )


def pcm(samples: Samples) -> bytes:
    """As a client sends it."""
    return (samples * 32767).round().astype("<i2").tobytes()


def run(engine: Engine, ticks: int = 100_000) -> dict[Session, list[Event]]:
    """Tick until there is nothing to do; the events of each session. AssertionError if that takes too many ticks."""
    events: dict[Session, list[Event]] = {}
    for _ in range(ticks):
        if not engine.ready:
            return events
        for session, event in engine.tick():
            events.setdefault(session, []).append(event)
    raise AssertionError(f"still busy after {ticks} ticks")


def speak(engine: Engine, session: Session, *commands: Command) -> list[Event]:
    """Feed one session and run; its events."""
    for command in commands:
        engine.feed(session, command)
    return run(engine).get(session, [])
