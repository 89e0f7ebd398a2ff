"""A speech processor for simulstream's server over our engine: one session at a time, no batch with other streams.

    simulstream_server --server-config server.yaml --speech-processor-config processor.yaml

processor.yaml: `type: streamtrans.evaluation.simulstream_processor.CascadeProcessor`, `speech_chunk_size` in s, and any
option of `Options`. simulstream is no dependency of the library; only this file imports it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from simulstream.server.speech_processors import SAMPLE_RATE, SpeechProcessor
from simulstream.server.speech_processors.incremental_output import IncrementalOutput

from streamtrans.engine import Engine
from streamtrans.evaluation.simulate import SimulationError
from streamtrans.messages import Error, Event, Target
from streamtrans.translator import LiveSession, Translator, Weights, load_weights


@dataclass(frozen=True)
class Options:
    """What processor.yaml may say beside type and chunk; see `load_engine`. threads: of torch, for all processors."""

    model: str = "en-fr"
    policy: str = "wait-3"
    recognizer: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    threads: int = 1

    @classmethod
    def of(cls, config: SimpleNamespace) -> Options:
        """Raises ValueError on an unknown key: simulstream passes all of them on."""
        known = {field.name for field in fields(cls)}
        given = {k: v for k, v in vars(config).items() if k not in ("type", "speech_chunk_size")}
        if unknown := sorted(set(given) - known):
            raise ValueError(
                f"unknown option {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        return cls(**given)


class CascadeProcessor(SpeechProcessor):  # type: ignore[misc]
    """Speech to text, append-only. All processors of a process share the weights; each has an engine of its own."""

    _weights: ClassVar[tuple[Options, Weights] | None] = None

    @classmethod
    def load_model(cls, config: SimpleNamespace) -> None:
        """The server calls it for each processor of its pool. Raises what `load_weights` raises, and ValueError."""
        import torch

        options = Options.of(config)
        if cls._weights is None or cls._weights[0] != options:
            torch.set_num_threads(options.threads)
            loaded = load_weights(options.model, options.device, options.dtype, options.recognizer)
            if loaded.recognizer is None:
                raise ValueError(f"{options.model} has no recogniser to hear with")
            cls._weights = options, loaded

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__(config)
        assert self._weights, "load_model comes first"
        self._options, weights = self._weights
        self._languages = weights.model.config.source, weights.model.config.target
        engine = Engine(weights.model, weights.vocabulary, 1, 1, recognizer=weights.recognizer)
        self._translator = Translator(engine)
        self._session: LiveSession | None = None

    def process_chunk(self, waveform: NDArray[np.float32]) -> IncrementalOutput:
        """What the engine commits on (N,) samples of 16 kHz. Raises SimulationError."""
        pcm = np.clip(np.round(waveform * 32768), -32768, 32767).astype("<i2")
        return self._written(self._opened().feed_audio(pcm.tobytes()))

    def end_of_stream(self) -> IncrementalOutput:
        """The rest. Raises SimulationError."""
        events = self._opened().end()
        self._session = None
        return self._written(events)

    def clear(self) -> None:
        """The next stream is a session of its own."""
        if self._session:
            self._session.close()
        self._session = None

    def set_source_language(self, language: str) -> None:
        """Raises ValueError unless it is the recogniser's."""
        self._check(language, self._languages[0])

    def set_target_language(self, language: str) -> None:
        """Raises ValueError unless it is the model's."""
        self._check(language, self._languages[1])

    def tokens_to_string(self, tokens: list[str]) -> str:
        """Tokens are words."""
        return " ".join(tokens)

    def _check(self, language: str, known: str) -> None:
        if language != known:
            raise ValueError(f"{self._options.model} knows {known}, not {language}")

    def _opened(self) -> LiveSession:
        if self._session is None:
            self._session = self._translator.open(self._options.policy, SAMPLE_RATE)
        return self._session

    def _written(self, events: list[Event]) -> IncrementalOutput:
        for event in events:
            if isinstance(event, Error):
                raise SimulationError(f"{event.code}: {event.text}")
        words = [event.text for event in events if isinstance(event, Target)]
        return IncrementalOutput(words, self.tokens_to_string(words), [], "")
