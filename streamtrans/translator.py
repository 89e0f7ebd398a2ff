"""The library's front door: load a model, open sessions, feed source, get events.

It couples an engine with the sessions of one program. Servers and evaluation drive the engine themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch

from streamtrans import pretrained
from streamtrans.engine import Engine, Session
from streamtrans.messages import Audio, Command, End, Event, Flush, SetPolicy, Text
from streamtrans.models import checkpoint
from streamtrans.models.model import Model
from streamtrans.models.recognizer import Recognizer
from streamtrans.text.vocabulary import Vocabulary

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class DeviceError(ValueError):
    """A device or dtype this machine does not have."""


@dataclass(frozen=True)
class Weights:
    """A model and what hears speech for it, if anything does; engines may share them."""

    model: Model
    vocabulary: Vocabulary
    recognizer: tuple[Recognizer, Vocabulary] | None


def load_weights(
    model: str, device: str = "auto", dtype: str = "auto", recognizer: str = "auto"
) -> Weights:
    """An embedded model (by name) or a checkpoint (by folder), see `find_device`.

    recognizer: what hears speech for it: auto (the embedded one of its source language, if there is one), none, or a
    checkpoint by folder; a direct model brings its own. Raises UnknownModel, CheckpointError, DeviceError.
    """
    place = find_device(device, dtype)
    found = pretrained.find(model)
    weights, vocabulary = checkpoint.load(found, *place)
    source = weights.config.source
    folder = pretrained.find_recognizer(recognizer, source, found)
    if weights.config.direct:
        folder = found / checkpoint.RECOGNIZER  # which says what is wrong if it was left behind
    heard = checkpoint.load_recognizer(folder, *place) if folder else None
    if heard and heard[0].config.language != source:
        raise checkpoint.CheckpointError(
            f"{folder} hears {heard[0].config.language}; {model} reads {source}"
        )
    return Weights(weights, vocabulary, heard)


def load_engine(
    model: str,
    device: str = "auto",
    dtype: str = "auto",
    max_sessions: int = 64,
    max_batch: int = 128,
    beam: int = 1,
    recognizer: str = "auto",
) -> Engine:
    """An engine over what `load_weights` loads. max_sessions, max_batch, beam: see `Engine`."""
    found = load_weights(model, device, dtype, recognizer)
    sizes = max_sessions, max_batch, beam
    return Engine(found.model, found.vocabulary, *sizes, recognizer=found.recognizer)


def find_device(device: str, dtype: str) -> tuple[str, torch.dtype]:
    """device: auto (CUDA where there is one), cpu or cuda. dtype: auto (float32 on the CPU, bfloat16 on CUDA), float32,
    bfloat16 or float16. Raises DeviceError.
    """
    if device not in ("auto", "cpu", "cuda") or dtype not in ("auto", *DTYPES):
        raise DeviceError(f"no device {device!r} with dtype {dtype!r}")
    cuda = torch.cuda.is_available() if device != "cpu" else False
    if device == "cuda" and not cuda:
        raise DeviceError("no CUDA device here: use --device auto or cpu")
    chosen = "cuda" if cuda else "cpu"
    if dtype == "auto":
        dtype = "bfloat16" if cuda else "float32"
    return chosen, DTYPES[dtype]


class LiveSession:
    """One stream of a `Translator`. Each verb returns the events it caused."""

    def __init__(self, engine: Engine, session: Session) -> None:
        self._engine, self._session = engine, session

    def feed(self, text: str, at: float | None = None) -> list[Event]:
        """Source text, in pieces of any size; white space completes a word. at: source clock in ms."""
        return self._do(Text(text, at))

    def feed_audio(self, data: bytes) -> list[Event]:
        """Sound of a session with a `rate`: 16-bit little-endian PCM, one channel, cut anywhere."""
        return self._do(Audio(data))

    def flush(self) -> list[Event]:
        """Finish the open segment."""
        return self._do(Flush())

    def set_policy(self, policy: str) -> list[Event]:
        """Another policy from here on. Raises PolicyError."""
        return self._do(SetPolicy(policy))

    def end(self) -> list[Event]:
        """No more source; the last event is Done."""
        return self._do(End())

    def close(self) -> None:
        """Give up: drop what is left."""
        self._engine.close(self._session)

    def _do(self, command: Command) -> list[Event]:
        self._engine.feed(self._session, command)
        events: list[Event] = []
        while self._engine.ready:
            events += [e for session, e in self._engine.tick() if session is self._session]
        return events

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Translator:
    """A loaded model. `open` as many sessions as there are slots."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def open(
        self, policy: str | None = None, rate: int | None = None, pause: int | None = None
    ) -> LiveSession:
        """A new stream. rate: samples a second of one of audio; pause: ms of silence that end a segment of it. Raises
        PolicyError, EngineFull, SessionError.
        """
        return LiveSession(self.engine, self.engine.open(policy, rate=rate, pause=pause))


def load(
    model: str = "en-fr",
    device: str = "auto",
    dtype: str = "auto",
    max_sessions: int = 64,
    beam: int = 1,
    recognizer: str = "auto",
) -> Translator:
    """Load a model: `t = load("en-fr"); s = t.open(policy="wait-3"); s.feed("I am ")`. See `load_engine`."""
    engine = load_engine(model, device, dtype, max_sessions, beam=beam, recognizer=recognizer)
    return Translator(engine)
