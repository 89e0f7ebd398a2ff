"""The recogniser: the law, its two outputs, what it may say, what it refuses; and on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fakes
import pytest
import torch
from strided import verify_strided
from torch import Tensor

from streamtrans.models import checkpoint
from streamtrans.models.checkpoint import CheckpointError
from streamtrans.models.config import ConfigError, build
from streamtrans.models.recognizer import NEVER, Recognizer, RecognizerConfig, best

TINY = RecognizerConfig(
    name="toy", language="en", vocabulary=7, mels=5, subsampling=4, dim=8, heads=2, hidden=12, layers=3,
    kernel=3, window=5, chunk=2, ahead=1, piece=8,
)  # fmt: skip


def toy(config: RecognizerConfig = TINY, seed: int = 0) -> Recognizer:
    torch.manual_seed(seed)
    made = Recognizer(config)
    made.normalization.fit(3 + 2 * torch.randn(50, config.mels))
    return made.eval()


def mel(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)) - 4


def test_the_law() -> None:
    verify_strided(toy(), mel(3, 50, 5), piece=24)


def test_features_are_normalised_first() -> None:
    """Forgotten in `step` alone, or in `forward` alone, the law tells; forgotten in both, only this."""
    model, x = toy(), mel(2, 32, 5)
    plain = (x - model.normalization.mean) / model.normalization.deviation
    expected = model.output(model.encoder(plain))
    torch.testing.assert_close(model(x), expected)
    assert (model(x) - model.output(model.encoder(x))).abs().max() > 0.01


def test_halfway_is_the_same_output_layer_on_the_middle_of_the_encoder() -> None:
    model, x = toy(), mel(2, 32, 5)
    halfway, last = model.halfway(x)
    torch.testing.assert_close(last, model(x))
    del model.encoder.layers[2]  # the middle of three is the last of two
    torch.testing.assert_close(halfway, model(x))


def test_nothing_is_heard_in_too_little() -> None:
    model = toy()
    assert model(mel(2, 7, 5)).shape == (2, 0, 7)
    assert [y.shape for y in model.halfway(mel(2, 7, 5))] == [(2, 0, 7)] * 2


def test_it_never_says_what_no_transcript_has() -> None:
    logits = torch.zeros(2, 3, 7)
    logits[..., list(NEVER)] = 9
    logits[0, 1, 5] = logits[1, 2, 0] = 1
    assert best(logits)[0, 1] == 5 and best(logits)[1, 2] == 0
    assert not torch.isin(best(logits), torch.tensor(NEVER)).any()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "text"}, "kind 'text'"),
        ({"vocabulary": 0}, "vocabulary must be"),
        ({"chunk": 3}, "multiple of chunk 3"),
        ({"widht": 8}, "unknown key widht"),
    ],
)
def test_what_cannot_be_meant_is_said(changes: dict[str, object], says: str) -> None:
    values = {"name": "toy", "language": "en", "vocabulary": 7, **changes}
    with pytest.raises(ConfigError, match=says):
        build(RecognizerConfig, values, "config.json")


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    made = toy(replace(TINY, vocabulary=fakes.vocabulary().size))
    checkpoint.save(tmp_path / "toy", made.config, fakes.vocabulary(), made.state_dict())
    model, words = checkpoint.load_recognizer(tmp_path / "toy")
    assert model.config == made.config and words.model == fakes.vocabulary().model
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    torch.testing.assert_close(model(mel(2, 40, 5)), made(mel(2, 40, 5)))
    half, _ = checkpoint.load_recognizer(tmp_path / "toy", dtype=torch.bfloat16)
    assert half(mel(2, 40, 5).bfloat16()).dtype == torch.bfloat16


def test_the_kind_of_a_folder_is_told(tmp_path: Path) -> None:
    """A recogniser served as a text model would fail at the first word, with a session open."""
    made = toy(replace(TINY, vocabulary=fakes.vocabulary().size))
    checkpoint.save(tmp_path / "speech", made.config, fakes.vocabulary(), made.state_dict())
    text = fakes.model()
    checkpoint.save(tmp_path / "text", text.config, fakes.vocabulary(), text.state_dict())
    with pytest.raises(CheckpointError, match="speech holds a recogniser; a text model is needed"):
        checkpoint.load(tmp_path / "speech")
    with pytest.raises(CheckpointError, match="text holds a text model; a recogniser is needed"):
        checkpoint.load_recognizer(tmp_path / "text")
    kinds = [checkpoint.load_any(tmp_path / kind)[0].config.kind for kind in ("text", "speech")]
    assert kinds == ["text", "speech"]
