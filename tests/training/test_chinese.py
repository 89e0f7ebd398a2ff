"""Both recipes of Chinese, small: trained, stopped, resumed, saved, loaded, and fed live, character by character."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest
import soundfile
from stopping import assert_alike, stopped

import streamtrans
from streamtrans import pretrained
from streamtrans.engine import Engine
from streamtrans.evaluation.report import evaluate
from streamtrans.messages import Event, Segment, Source, Target
from streamtrans.models import checkpoint
from streamtrans.training.recipe import (
    Corpus,
    Curriculum,
    Optimizer,
    Recipe,
    Speech,
    SpeechRecipe,
    load_recipe,
    load_text_recipe,
)
from streamtrans.training.speech_sources import SpokenText
from streamtrans.training.synthesis import Synthesizer, Voice
from streamtrans.training.trainer import Trainer

pytest.importorskip("opencc", reason="the extra chinese is not installed")

EXCERPT = Path(__file__).parent.parent / "data" / "tatoeba.en-zh.tsv"
PAIRS = EXCERPT.read_text(encoding="utf-8")
SMALL = dict(dim=32, heads=2, hidden=48, encoder_layers=1, decoder_layers=1, dropout=0.0)
SPOKEN = dict(dim=16, heads=2, hidden=24, layers=2, kernel=3, dropout=0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as both recipes expect it, with an excerpt in place of each corpus."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "text").mkdir()
    others = {"tatoeba.en-fr.train.tsv": "I see.\tJe vois.\nGo on.\tContinue.\n"}
    lines = PAIRS.splitlines(keepends=True)
    parts = {"train": lines[:32], "dev": lines[32:36], "test": lines[36:]}
    others |= {f"tatoeba.en-zh.{name}.tsv": "".join(part) for name, part in parts.items()}
    for name, text in others.items():
        (folder / "text" / name).write_text(text, encoding="utf-8")
    recordings = folder / "speech" / "aishell-s0150-train"
    recordings.mkdir(parents=True)
    rows = ["id\tpath\tseconds\ttext"]
    for i in range(20):
        soundfile.write(recordings / f"{i}.wav", np.zeros(16_000), 16_000)
        rows.append(f"{i}\t{i}.wav\t1.0\t今天很好")
    (recordings / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def small_text() -> Recipe:
    """The shipped recipe but for its size."""
    recipe = load_text_recipe("zh-en-text")
    return replace(
        recipe, steps=6, checkpoint_every=2, vocabulary=900, tokens=200, model=recipe.model | SMALL
    )


def small_speech() -> SpeechRecipe:
    recipe = load_recipe("zh-en-speech")
    assert isinstance(recipe, SpeechRecipe)
    return replace(
        recipe,
        steps=6,
        checkpoint_every=2,
        seconds=6,
        encoder="",  # too large for a small model
        curriculum=Curriculum(2, 6, 2),
        model=recipe.model | SPOKEN,
    )


def stopped_and_resumed(recipe: Recipe | SpeechRecipe, data: Path, folder: Path) -> Path:
    """The averaged model of a run that was stopped after step 2; its weights are those of one that was not."""
    whole = Trainer(recipe, data, folder / "whole").run()
    averaged = stopped(recipe, data, folder / "stopped").run(resume=True)
    assert_alike(averaged, whole, rtol=1e-2, atol=1e-3)
    return averaged


def test_the_text_recipe_trains_resumes_and_loads(data: Path, tmp_path: Path) -> None:
    folder = stopped_and_resumed(small_text(), data / "text", tmp_path)
    model, vocabulary = checkpoint.load(folder)
    assert (model.config.source, model.config.target) == ("zh", "en")
    assert len(vocabulary.encode("天 气 好 。")) >= 4
    with streamtrans.load(str(folder), "cpu", "float32", max_sessions=1).open("wait-3") as session:
        events = session.feed("今天天气很好。我") + session.end()
    said = [event.text for event in events if isinstance(event, Source)]
    assert said == list("今天天气很好。我")
    assert [e.source_words for e in events if isinstance(e, Segment)] == [7, 8]


def test_a_trained_model_streams_by_characters(tmp_path: Path) -> None:
    """Some sentences by heart: what is learned from lines is what a session, fed character by character, says."""
    phrases = {
        "今天天气很好。": "The weather is nice today.",
        "我明天很忙。": "I am busy tomorrow.",
        "天气冷。": "It's cold.",
        "你是谁？": "Who are you?",
    }
    lines = "".join(f"{zh}\t{en}\n" for zh, en in phrases.items())
    (tmp_path / "a.tsv").write_text(lines, encoding="utf-8")
    corpora = tuple(Corpus("a.tsv", plain=plain, repeat=8) for plain in (False, True))
    recipe = replace(
        small_text(),
        train=corpora,
        dev=corpora[:1],
        steps=150,
        checkpoint_every=150,
        vocabulary=360,
        tokens=400,
        lowest_k=3,
        optimizer=Optimizer(rate=1e-2, embedding_rate=1e-2, warmup=10, decay=0.5),
    )
    folder = Trainer(recipe, tmp_path, tmp_path / "run").run()
    translator = streamtrans.load(str(folder), "cpu", "float32", max_sessions=2)
    for text in ("今天天气很好。", "今天天气很好"):
        events: list[Event] = []
        with translator.open("wait-3") as session:
            for character in text:
                events += session.feed(character)
            before_the_end = [event for event in events if isinstance(event, Target)]
            events += session.end()
        words = [event for event in events if isinstance(event, Target)]
        assert " ".join(event.text for event in words) == "The weather is nice today."
        assert [event.text for event in before_the_end[:2]] == ["The", "weather"]
        assert [event.read for event in words[:2]] == [3, 4]
    check_scores(translator.engine, phrases)


def check_scores(engine: Engine, phrases: dict[str, str]) -> None:
    """AL counts characters and BLEU English words."""
    report, translations = evaluate(engine, list(phrases), list(phrases.values()), "full", timed=1)
    assert report.bleu == pytest.approx(100) and "tok:13a" in report.signature
    assert [len(t.source) for t in translations] == [7, 6, 4, 4]
    assert report.al == pytest.approx(5.25) and report.ca_al is not None


def test_the_speech_recipe_trains_resumes_and_loads(data: Path, tmp_path: Path) -> None:
    """Labels are characters, one piece each, so each is committed as a word."""
    pytest.importorskip("espeakng_loader", reason="the extra speech-training is not installed")
    folder = stopped_and_resumed(small_speech(), data, tmp_path)
    recognizer, vocabulary = checkpoint.load_recognizer(folder)
    assert recognizer.config.language == "zh" and recognizer.config.name == "zh-speech"
    pieces = vocabulary.encode("今 天 很 好")
    assert len(pieces) == 4 and all(vocabulary.ends_word[piece] for piece in pieces)
    recognizer.output.bias[
        0
    ] = -100.0  # never blank: it has learned nothing yet, and is to say something
    text = Trainer(replace(small_text(), steps=2), data / "text", tmp_path / "text").run()
    engine = Engine(*checkpoint.load(text), 1, 1, recognizer=(recognizer, vocabulary))
    sound = Synthesizer().speak("今天天气很好。", Voice("cmn", rate=200))
    with streamtrans.Translator(engine).open("wait-3", rate=16_000) as session:
        events = session.feed_audio(fakes.pcm(sound.samples)) + session.end()
    heard = [event for event in events if isinstance(event, Source)]
    assert len(heard) > 3 and all(len(event.text) == 1 for event in heard)
    times = [(event.begin, event.end) for event in heard]
    assert times == sorted(times) and times[-1][1] <= 1000 * sound.seconds + 500


def test_the_speech_recipe_begins_with_an_encoder_of_its_own_shape() -> None:
    recipe = load_recipe("zh-en-speech")
    assert isinstance(recipe, SpeechRecipe)
    theirs = json.loads((pretrained.find(recipe.encoder) / "config.json").read_text())
    other = {"name", "language", "dropout"}
    assert {n: theirs[n] for n in recipe.model if n not in other} == {
        n: value for n, value in recipe.model.items() if n not in other
    }


def test_chinese_is_spoken_whole_and_only_what_is_read_aright(tmp_path: Path) -> None:
    """Blanks between characters hid from espeak-ng that 银行 is a word, and 熊 was spelt out in English."""
    lines = "The bank.\t银行不行。\nA bear.\t這是熊。\nTom.\t我是Tom。\nSix.\t6點。\nHi.\t你 好。\n"
    (tmp_path / "a.tsv").write_text(lines, encoding="utf-8")
    spoken = SpokenText.read(tmp_path, Speech(text="a.tsv", swap=True), "zh")
    assert spoken._texts == ["银行不行。", "你好。"]
    assert spoken.transcripts == ["银 行 不 行", "你 好"]
    left = SpokenText.read(tmp_path, Speech(text="a.tsv", swap=True, without=("a.tsv",)), "zh")
    assert left.transcripts == []


def test_the_length_of_speech_is_guessed_well() -> None:
    """Batches are cut by it; with an English letter's length those of Chinese had a fifth too much."""
    pytest.importorskip("espeakng_loader", reason="the extra speech-training is not installed")
    texts = ["今天天气很好。", "我们明天早上七点去公园散步，你想一起来吗？", "好。"]
    spoken, chance = SpokenText(texts, "zh"), np.random.default_rng(0)
    seconds = [spoken.utterance(i % 3, chance).seconds for i in range(30)]
    assert sum(seconds) == pytest.approx(10 * float(spoken.seconds.sum()), rel=0.15)
