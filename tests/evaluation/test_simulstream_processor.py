"""Our engine as a speech processor, as simulstream itself calls it, against the engine alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import fakes
import numpy as np
import pytest
import torch
from simulstream.server.message_processor import MessageProcessor
from simulstream.server.speech_processors import build_speech_processor
from streamtrans_clients.load.script import speech

from streamtrans.engine import Engine
from streamtrans.evaluation.simulstream_processor import CascadeProcessor
from streamtrans.messages import Audio, End, Target
from streamtrans.models import checkpoint

TYPE = "streamtrans.evaluation.simulstream_processor.CascadeProcessor"
CHUNK = 0.32


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("models")
    toy, ear = fakes.model(), fakes.recognizer()
    checkpoint.save(folder / "toy", toy.config, fakes.vocabulary(), toy.state_dict())
    checkpoint.save(folder / "ear", ear.config, fakes.spoken_vocabulary(), ear.state_dict())
    yield SimpleNamespace(
        type=TYPE,
        speech_chunk_size=CHUNK,
        model=str(folder / "toy"),
        recognizer=str(folder / "ear"),
        policy="wait-1",
        device="cpu",
        dtype="float32",
        threads=torch.get_num_threads(),
    )
    CascadeProcessor._weights = None


def pcm(seed: int) -> bytes:
    """Recorded speech: the processors have the real detector."""
    script = speech(Path(__file__).parents[1] / "data" / "speech")
    begin = script.starts[seed]
    return b"".join(script.items[begin : begin + 25])  # type: ignore[arg-type]


def alone(processor: CascadeProcessor, sound: bytes) -> list[str]:
    """What an engine commits that hears all of it at once."""
    assert CascadeProcessor._weights
    weights = CascadeProcessor._weights[1]
    engine = Engine(weights.model, weights.vocabulary, 1, 1, recognizer=weights.recognizer)
    events = fakes.speak(engine, engine.open("wait-1", rate=16000), Audio(sound), End())
    return [event.text for event in events if isinstance(event, Target)]


def test_chunks_bring_the_words_of_the_engine_and_processors_do_not_mix(
    config: SimpleNamespace,
) -> None:
    """Two processors of a pool, fed by turns; the second stream of one is not disturbed by its first."""
    processors = [build_speech_processor(config) for _ in range(2)]
    assert processors[0]._translator.engine is not processors[1]._translator.engine
    for seeds in ((0, 1), (2, 0)):
        sounds = [pcm(seed) for seed in seeds]
        peers = [MessageProcessor(n, p) for n, p in enumerate(processors)]
        for peer in peers:
            peer.process_metadata({"sample_rate": 16000, "source_lang": "en", "target_lang": "fr"})
        said: list[list[str]] = [[], []]
        for begin in range(0, max(map(len, sounds)), 3200):
            for peer, sound, words in zip(peers, sounds, said, strict=True):
                output = peer.process_speech(sound[begin : begin + 3200])
                words += output.new_tokens if output else []
        for peer, words in zip(peers, said, strict=True):
            words += peer.end_of_stream().new_tokens
        for processor, sound, words in zip(processors, sounds, said, strict=True):
            assert words == alone(processor, sound) != []


def test_a_stream_that_is_given_up_leaves_nothing(config: SimpleNamespace) -> None:
    processor = build_speech_processor(config)
    sound = np.frombuffer(pcm(0), "<i2").astype(np.float32) / 32768
    first = processor.process_chunk(sound)
    processor.clear()
    again = processor.process_chunk(sound)
    assert first.new_tokens == again.new_tokens != []
    assert first.new_string == " ".join(first.new_tokens) and first.deleted_tokens == []


def test_other_languages_and_unknown_options_are_refused(config: SimpleNamespace) -> None:
    processor = build_speech_processor(config)
    with pytest.raises(ValueError, match="knows fr, not de"):
        processor.set_target_language("de")
    with pytest.raises(ValueError, match="knows en, not it"):
        processor.set_source_language("it")
    with pytest.raises(ValueError, match="unknown option polcy"):
        build_speech_processor(SimpleNamespace(**vars(config), polcy="wait-3"))
