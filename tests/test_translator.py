"""The front door: what a program that imports streamtrans sees."""

from __future__ import annotations

from pathlib import Path

import fakes
import pytest
import torch

import streamtrans
from streamtrans import pretrained
from streamtrans.engine import EngineFull, SessionError
from streamtrans.messages import Changed, Done, Event, Segment, Source, Target
from streamtrans.models import checkpoint
from streamtrans.models.checkpoint import CheckpointError
from streamtrans.policy import PolicyError
from streamtrans.pretrained import UnknownModel
from streamtrans.translator import DeviceError, LiveSession, Translator, load_engine

FIRST, SECOND = fakes.sentences(2, seed=11)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a checkpoint that translates nothing."""
    model = fakes.model()
    folder = tmp_path_factory.mktemp("models") / "toy"
    checkpoint.save(folder, model.config, fakes.vocabulary(), model.state_dict())
    return str(folder)


def test_a_direct_model_is_loaded_with_its_own_recogniser(tmp_path: Path) -> None:
    heard, model = fakes.recognizer(), fakes.direct_model()
    theirs, folder = tmp_path / "heard", tmp_path / "direct"
    checkpoint.save(theirs, heard.config, fakes.spoken_vocabulary(), heard.state_dict())
    ours = (folder, model.config, fakes.vocabulary(), model.state_dict())
    checkpoint.save(*ours)
    with pytest.raises(CheckpointError, match="recognizer"):  # it was left behind
        load_engine(str(folder), device="cpu")
    checkpoint.save(*ours, recognizer=theirs)
    with pytest.raises(UnknownModel, match="its own recogniser"):
        load_engine(str(folder), device="cpu", recognizer=str(theirs))
    translator = streamtrans.load(str(folder), device="cpu", max_sessions=2)
    with pytest.raises(SessionError, match="bad_kind"):
        translator.open()
    events = translator.open(rate=16_000).feed_audio(bytes(32_000))
    assert events == [] and translator.engine.kinds == ("audio",)


@pytest.fixture
def translator(toy: str) -> Translator:
    return streamtrans.load(toy, device="cpu", max_sessions=2)


def words(events: list[Event], kind: type[Source] | type[Target]) -> list[str]:
    return [event.text for event in events if isinstance(event, kind)]


def test_a_session_from_open_to_end(translator: Translator) -> None:
    """Each verb gives back the events it caused, the last of them `Done`."""
    session = translator.open("wait-2")
    (event,) = session.feed("the o")
    assert isinstance(event, Source) and event.text == "the"
    assert session.feed("") == []
    events = session.feed("ld hou") + session.feed("se sees ")
    assert words(events, Source) == ["old", "house", "sees"]
    assert words(events, Target)
    events += session.flush()
    assert isinstance(events[-1], Segment) and events[-1].source_words == 4
    assert session.flush() == []
    (changed,) = session.set_policy("wait-1")
    assert isinstance(changed, Changed) and (changed.policy, changed.index) == ("wait-1", 4)
    events += session.feed("a boat.", at=500.0) + session.end()
    assert words(events, Source) == ["old", "house", "sees", "a", "boat."]
    assert isinstance(events[-1], Done) and events[-1].target_words == len(words(events, Target))
    assert translator.engine.sessions == 0
    with pytest.raises(SessionError, match="bad_order"):
        session.feed("more ")


def test_two_sessions_in_turns_do_not_hear_each_other(translator: Translator) -> None:
    alone = []
    for text, policy in ((FIRST, "wait-1"), (SECOND, "wait-3")):
        with translator.open(policy) as session:
            alone.append(words(session.feed(text), Target) + words(session.end(), Target))
    one, two = translator.open("wait-1"), translator.open("wait-3")
    said: list[list[str]] = [[], []]
    for i in range(max(len(FIRST), len(SECOND))):
        said[0] += words(one.feed(FIRST[i : i + 1]), Target)
        said[1] += words(two.feed(SECOND[i : i + 1]), Target)
    said[0] += words(one.end(), Target)
    said[1] += words(two.end(), Target)
    assert said == alone and all(said)


def test_leaving_a_session_frees_its_slot(translator: Translator) -> None:
    """Also when the block is left by an error, half-way through a sentence."""
    with pytest.raises(KeyError), translator.open() as session:
        translator.open("full")
        with pytest.raises(EngineFull, match="all 2 slots"):
            translator.open()
        session.feed("the old ")
        raise KeyError
    assert translator.engine.sessions == 1
    session.close()
    with translator.open() as again:
        assert words(again.feed("a "), Source) == ["a"]


def test_wrong_wishes_have_names(
    translator: Translator, toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownModel, match="embedded are"):
        streamtrans.load("en-xx")
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError):
        streamtrans.load(str(tmp_path))
    for device, dtype in (("tpu", "auto"), ("cpu", "int8")):
        with pytest.raises(DeviceError, match="no device"):
            streamtrans.load(toy, device, dtype)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no CUDA device"):
        streamtrans.load(toy, "cuda")
    for policy in ("wait-0", "soon", "wait-3:1"):
        with pytest.raises(PolicyError):
            translator.open(policy)
    session = translator.open()
    with pytest.raises(PolicyError):
        session.set_policy("soon")
    with pytest.raises(SessionError, match="bad_clock"):
        session.feed("the ", at=-1.0)
    with pytest.raises(SessionError, match="bad_text"):
        session.feed("\udcff ")
    assert words(session.feed("a boat. "), Source) == ["a", "boat."]


def test_types_and_places(toy: str) -> None:
    assert load_engine(toy, "cpu")._model.embedding.weight.dtype == torch.float32
    low = load_engine(toy, "cpu", "bfloat16", max_sessions=1)._model.embedding.weight
    assert (low.dtype, low.device.type) == (torch.bfloat16, "cpu")


def test_the_package_offers_its_front_door_and_nothing_else() -> None:
    assert streamtrans.Translator is Translator and streamtrans.LiveSession is LiveSession
    with pytest.raises(AttributeError, match="no attribute 'transcribe'"):
        streamtrans.transcribe  # noqa: B018


@pytest.fixture(scope="module")
def ears(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a recogniser that has learned nothing."""
    heard = fakes.recognizer()
    folder = tmp_path_factory.mktemp("models") / "ears"
    checkpoint.save(folder, heard.config, fakes.spoken_vocabulary(), heard.state_dict())
    return str(folder)


def test_a_session_of_audio(toy: str, ears: str) -> None:
    """In pieces of odd bytes; noise is no speech."""
    translator = streamtrans.load(toy, device="cpu", max_sessions=1, recognizer=ears)
    assert translator.engine.hears
    with translator.open("wait-1", rate=16_000) as session:
        assert session.feed_audio(bytes(3201)) == []
        with pytest.raises(SessionError, match="bad_kind"):
            session.feed("the old house")
        (done,) = session.end()
        assert isinstance(done, Done) and done.source_words == 0


def test_without_a_recogniser_there_is_no_audio(toy: str, ears: str, tmp_path: Path) -> None:
    embedded = pretrained.find_recognizer("auto", "en") is not None
    assert load_engine(toy, "cpu").hears is embedded
    with pytest.raises(SessionError, match="no_speech"):
        load_engine(toy, "cpu", recognizer="none").open(rate=16_000)
    with pytest.raises(UnknownModel, match="no recogniser 'nowhere'"):
        load_engine(toy, "cpu", recognizer="nowhere")
    with pytest.raises(CheckpointError, match="a recogniser is needed"):
        load_engine(toy, "cpu", recognizer=toy)
    french = fakes.model(source="fr")
    checkpoint.save(tmp_path / "french", french.config, fakes.vocabulary(), french.state_dict())
    with pytest.raises(CheckpointError, match="hears en; .* reads fr"):
        load_engine(str(tmp_path / "french"), "cpu", recognizer=ears)


def test_the_recogniser_of_a_language_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And is no text model."""
    monkeypatch.setattr(pretrained, "__file__", str(tmp_path / "__init__.py"))
    assert pretrained.find_recognizer("auto", "en") is None
    for name in ("en-speech", "en-fr"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
    assert pretrained.find_recognizer("auto", "en") == tmp_path / "en-speech"
    assert pretrained.find_recognizer("en-speech", "en") == tmp_path / "en-speech"
    assert (
        pretrained.find_recognizer("auto", "de") is pretrained.find_recognizer("none", "en") is None
    )
    assert pretrained.names() == ["en-fr"]
