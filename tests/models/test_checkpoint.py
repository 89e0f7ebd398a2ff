"""A checkpoint is whole or not there, and what is wrong with one is said by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import fakes
import pytest
import torch
from fakes import vocabulary

from streamtrans.models import checkpoint
from streamtrans.models.checkpoint import CheckpointError
from streamtrans.models.config import ConfigError, ModelConfig, build
from streamtrans.models.model import Model


def toy(seed: int = 0, pieces: int = 0) -> Model:
    torch.manual_seed(seed)
    config = ModelConfig(
        name="toy",
        source="en",
        target="fr",
        vocabulary=pieces or vocabulary().size,
        dim=16,
        heads=2,
        hidden=24,
        encoder_layers=1,
        decoder_layers=1,
        window=8,
    )
    return Model(config)


def save(folder: Path, model: Model) -> None:
    checkpoint.save(folder, model.config, vocabulary(), model.state_dict())


def same(model: Model, other: Model) -> bool:
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    made = toy()
    save(tmp_path / "deep" / "toy", made)
    model, words = checkpoint.load(tmp_path / "deep" / "toy")
    assert same(model, made) and model.config == made.config
    assert words.model == vocabulary().model
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    source, visible = torch.tensor([[5, 6, 7]]), torch.tensor([[2, 3]])
    expected = made.eval()(source, source[:, :2], visible)
    torch.testing.assert_close(model(source, source[:, :2], visible), expected)


def test_who_may_read_one_file_may_read_all(tmp_path: Path) -> None:
    """The weights alone were 0600: a model trained by one user could not be served by another."""
    save(tmp_path / "toy", toy())
    modes = {p.name: p.stat().st_mode for p in (tmp_path / "toy").iterdir()}
    assert len(modes) == 3 and len(set(modes.values())) == 1, modes


def test_it_holds_three_files_and_what_it_was_asked_to_keep(tmp_path: Path) -> None:
    model, extra = toy(), {"optimizer-0": {"a/b": torch.ones(2)}}
    checkpoint.save(tmp_path / "toy", model.config, vocabulary(), model.state_dict(), extra)
    names = sorted(p.name for p in (tmp_path / "toy").iterdir())
    assert names == [
        "config.json",
        "model.safetensors",
        "optimizer-0.safetensors",
        "vocabulary.model",
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]
    checkpoint.load(tmp_path / "toy")


def test_a_direct_model_takes_its_recogniser_with_it(tmp_path: Path) -> None:
    heard, model = fakes.recognizer(), fakes.direct_model()
    config, weights = heard.config, heard.state_dict()
    extra = {"optimizer-0": {"a": torch.ones(2)}}
    checkpoint.save(tmp_path / "heard", config, fakes.spoken_vocabulary(), weights, extra)
    fakes.language_model().write(tmp_path / "heard" / checkpoint.LANGUAGE_MODEL)
    kept = tmp_path / "kept"
    checkpoint.copy(tmp_path / "heard", kept)
    assert checkpoint.load_recognizer(kept)[0].language_model is not None
    direct = (tmp_path / "direct", model.config, vocabulary(), model.state_dict())
    checkpoint.save(*direct, recognizer=kept)
    checkpoint.save(*direct, recognizer=kept)  # over the old one
    assert sorted(p.name for p in tmp_path.iterdir()) == ["direct", "heard", "kept"]
    found, words = checkpoint.load_recognizer(tmp_path / "direct" / checkpoint.RECOGNIZER)
    assert found.config == config and words.model == fakes.spoken_vocabulary().model
    for name, weight in weights.items():
        torch.testing.assert_close(found.state_dict()[name], weight.float())
    assert len(list((tmp_path / "direct" / checkpoint.RECOGNIZER).iterdir())) == 3
    assert found.language_model is None  # it would be of no use
    assert same(checkpoint.load(tmp_path / "direct", dtype=torch.float64)[0], model)


@pytest.mark.parametrize(
    "system", ["wait-k", "adaptive", "gru-wait-k", "gru-fixed", "mocha", "mma-il"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_model_runs_in_the_dtype_it_was_loaded_in(
    tmp_path: Path, dtype: torch.dtype, system: str
) -> None:
    """In float16 on the CPU the first READ failed: the mask of attention did not fit."""
    save(tmp_path / "toy", fakes.system(system, made=Model))
    model, _ = checkpoint.load(tmp_path / "toy", dtype=dtype)
    state = model.read(torch.tensor([[5, 6], [7, 0]]), model.init_state(2), torch.tensor([2, 1]))
    logits, confidence, _ = model.write(torch.tensor([2, 2]), state)
    assert logits.dtype == dtype and logits.isfinite().all()
    assert (confidence is None) != model.config.decides


def test_a_crash_while_writing_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle of an evening's training must not cost the checkpoint before."""
    old, new = toy(1), toy(2)
    save(tmp_path / "toy", old)
    with monkeypatch.context() as patch:
        patch.setattr("streamtrans.models.checkpoint.os.fsync", _full_disk)
        with pytest.raises(OSError, match="full"):
            save(tmp_path / "toy", new)
    assert same(checkpoint.load(tmp_path / "toy")[0], old)
    save(tmp_path / "toy", new)
    assert same(checkpoint.load(tmp_path / "toy")[0], new)
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


def _full_disk(file: int) -> None:
    raise OSError("the disk is full")


def test_a_crash_while_writing_the_first_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamtrans.models.checkpoint.os.fsync", _full_disk)
    with pytest.raises(OSError, match="full"):
        save(tmp_path / "toy", toy())
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path / "toy")


def test_a_removed_one_is_gone(tmp_path: Path) -> None:
    save(tmp_path / "toy", toy())
    checkpoint.remove(tmp_path / "toy")
    assert list(tmp_path.iterdir()) == []


def change(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (lambda f: (f / "config.json").unlink(), CheckpointError, "toy is no checkpoint"),
        (lambda f: (f / "model.safetensors").unlink(), CheckpointError, "toy is no checkpoint"),
        (lambda f: (f / "vocabulary.model").unlink(), CheckpointError, "toy is no checkpoint"),
        (lambda f: (f / "config.json").write_text("{"), CheckpointError, "toy is no checkpoint"),
        (
            lambda f: change(f, depth=3),
            CheckpointError,
            "config.json: unknown key depth; known are",
        ),
        (lambda f: change(f, hidden=32), CheckpointError, "does not fit its config"),
        (lambda f: change(f, decoder_layers=2), CheckpointError, "does not fit its config"),
        (lambda f: change(f, dim=18), CheckpointError, "multiple of 2 x heads"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, damage: Callable[[Path], object], error: type[Exception], says: str
) -> None:
    save(tmp_path / "toy", toy())
    damage(tmp_path / "toy")
    with pytest.raises(error, match=says):
        checkpoint.load(tmp_path / "toy")


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere is no checkpoint"):
        checkpoint.load(tmp_path / "nowhere")


def test_a_vocabulary_of_another_size_is_said(tmp_path: Path) -> None:
    save(tmp_path / "toy", toy(pieces=10))
    with pytest.raises(CheckpointError, match=f"{vocabulary().size} pieces for 10 rows"):
        checkpoint.load(tmp_path / "toy")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"kind": "smell"}, "known are text"),
        ({"encoder": "rnn"}, "encoder 'rnn': known are transformer, gru, lstm"),
        ({"decoder": ""}, "decoder '': known are"),
        ({"attention": "monotonic"}, "attention 'monotonic': known are fixed, .*mocha"),
        ({"energy": "cosine"}, "energy 'cosine': known are dot, additive"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"attention": "mocha", "policy_head": True}, "no policy_head beside it"),
        ({"dim": 10}, "multiple"),
        ({"states": -1}, "states must be at least 0"),
        ({"states": 8, "bidirectional": True}, "states come as they are heard"),
        ({"window": 0}, "window must be at least 1"),
        ({"words": -1}, "words must be at least 1"),
        ({"dimm": 8}, "unknown key dimm"),
        ({"name": None, "nam": "x"}, "unknown key nam"),
    ],
)
def test_a_config_that_cannot_be_meant(values: dict[str, object], says: str) -> None:
    given = {"name": "toy", "source": "en", "target": "fr", "vocabulary": 8} | values
    with pytest.raises(ConfigError, match=says):
        build(ModelConfig, given, "here")


def test_a_missing_key_is_said() -> None:
    with pytest.raises(ConfigError, match="here: .*source"):
        build(ModelConfig, {"name": "toy", "target": "fr", "vocabulary": 8}, "here")
