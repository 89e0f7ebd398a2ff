"""The detector: Silero's own scores, under the law, on synthetic speech, silence, tones and noise."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from strided import verify_strided
from torch import Tensor

from streamtrans.audio.pcm import Samples
from streamtrans.audio.segments import SpeechSegmenter
from streamtrans.audio.speech_detector import WEIGHTS, SpeechDetector
from streamtrans.training.synthesis import Synthesizer, Voice


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector.load()


@pytest.fixture(scope="module")
def sentence() -> Samples:
    pytest.importorskip("espeakng_loader", reason="the extra speech-training is not installed")
    text = "The weather is nice today and we are going to the river."
    return Synthesizer().speak(text, Voice("en-us+m3")).samples


def scores(detector: SpeechDetector, samples: Samples) -> Tensor:
    return detector(torch.from_numpy(samples)[None])[0]


def theirs_is() -> Path:
    """The folder of the package's weights."""
    silero_vad = pytest.importorskip("silero_vad", reason="the extra test is not installed")
    return Path(silero_vad.__file__).parent / "data"


def their_model() -> torch.nn.Module:
    folder = theirs_is()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.load
        model: torch.nn.Module = torch.jit.load(str(folder / "silero_vad.jit"))
    return model


def test_scores_are_silero_s_own(sentence: Samples) -> None:
    """Their model, their way: chunk by chunk, the state in the model. Its weights differ from those in safetensors."""
    theirs, detector = their_model(), SpeechDetector()
    weights = list(theirs._model.state_dict().values())
    rnn = [
        f"memory.layers.0.{kind}_l0" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    convs = [f"convs.{i}.{kind}" for i in range(4) for kind in ("weight", "bias")]
    names = ["spectrum.weight", *convs, *rnn, "out.weight", "out.bias"]
    detector.load_state_dict(dict(zip(names, weights, strict=True)))
    x = torch.from_numpy(sentence[: len(sentence) // 512 * 512])
    with torch.no_grad():
        expected = torch.cat([theirs(chunk[None], 16_000) for chunk in x.split(512)], dim=1)
        torch.testing.assert_close(detector(x[None]), expected, atol=1e-4, rtol=0)


def test_obeys_the_law(detector: SpeechDetector) -> None:
    x = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0)) * 0.1
    verify_strided(detector, x, piece=1700)


def test_speech_is_found_between_silence(detector: SpeechDetector, sentence: Samples) -> None:
    quiet = np.zeros(16_000, np.float32)
    stream = np.concatenate((quiet, sentence, quiet, sentence, quiet))
    segmenter = SpeechSegmenter()
    found = segmenter.feed(scores(detector, stream).tolist()) + segmenter.flush()
    begins, ends = [b.at * 0.032 for b in found[::2]], [b.at * 0.032 for b in found[1::2]]
    spoken = len(sentence) / 16_000
    assert begins == pytest.approx([1.0, 2.0 + spoken], abs=0.4)
    assert ends == pytest.approx([1 + spoken, 2 + 2 * spoken], abs=0.4)


@pytest.mark.parametrize("what", ["silence", "white noise", "tone"])
def test_what_is_no_speech_gives_no_segment(detector: SpeechDetector, what: str) -> None:
    time = np.arange(5 * 16_000) / 16_000
    samples = {
        "silence": np.zeros_like(time),
        "white noise": np.random.default_rng(0).standard_normal(len(time)) * 0.05,
        "tone": 0.3 * np.sin(2 * np.pi * 440 * time),
    }[what].astype(np.float32)
    segmenter = SpeechSegmenter()
    assert segmenter.feed(scores(detector, samples).tolist()) + segmenter.flush() == []


def test_less_than_a_frame_gives_no_score(detector: SpeechDetector) -> None:
    assert detector(torch.zeros(2, 511)).shape == (2, 0)


def test_loading_leaves_torch_as_it_was() -> None:
    """Importing their package sets torch to one thread, for the whole server."""
    code = (
        "import torch; torch.set_num_threads(3)\n"
        "from streamtrans.audio.speech_detector import SpeechDetector; SpeechDetector.load()\n"
        "import sys; print(torch.get_num_threads(), 'silero_vad' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["3", "False"]


def test_the_embedded_weights_are_the_package_s_and_come_with_their_licence() -> None:
    assert (WEIGHTS.parent / "LICENSE").read_text().startswith("MIT License")
    assert WEIGHTS.read_bytes() == (theirs_is() / WEIGHTS.name).read_bytes()
