"""Speech from text: the same samples for the same voice, voices that differ, words at the time they are spoken."""

from __future__ import annotations

import ast
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from streamtrans.training.synthesis import (
    HELD_OUT,
    VARIANTS,
    SpokenWord,
    SynthesisError,
    Synthesizer,
    Voice,
    spoken_words,
)

pytest.importorskip("espeakng_loader", reason="the extra speech-training is not installed")

TEXT = "Hello there, how are you today? I paid 25 dollars."
PLAIN = Voice("en-us")
LIBRARY = Path(__file__).parent.parent.parent / "streamtrans"


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    return Synthesizer()


@pytest.mark.parametrize("voice", [PLAIN, Voice("en+klatt2"), Voice("en-us+f2", 220, 30, 70)])
def test_a_sentence_depends_on_nothing_but_itself(synthesizer: Synthesizer, voice: Voice) -> None:
    """The library keeps things between sentences: the second time this one was 8 samples longer."""
    first = synthesizer.speak(TEXT, voice)
    synthesizer.speak("Something else entirely.", Voice("en+f3", 230, 70))
    again = synthesizer.speak(TEXT, voice)
    assert np.array_equal(first.samples, again.samples) and first.words == again.words


def test_another_process_makes_the_same(synthesizer: Synthesizer) -> None:
    """Which a resumed run is."""
    code = (
        "from streamtrans.training.synthesis import *; import zlib\n"
        f"print(zlib.crc32(Synthesizer().speak({TEXT!r}, Voice('en-us')).samples.tobytes()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) == zlib.crc32(synthesizer.speak(TEXT, PLAIN).samples.tobytes())


def test_samples_are_bounded_and_of_16_khz(synthesizer: Synthesizer) -> None:
    """A second sentence of twice the words lasts about twice as long; the level is that of speech."""
    short, long = (synthesizer.speak(" ".join(["one two three"] * n), PLAIN) for n in (2, 4))
    assert short.samples.dtype == np.float32
    assert np.abs(long.samples).max() <= 1 and 0.02 < np.sqrt(np.square(long.samples).mean()) < 0.5
    assert 1.0 < short.seconds < 3.0 and 1.7 < long.seconds / short.seconds < 2.3
    assert short.seconds == len(short.samples) / 16_000


def test_voices_rates_and_pitches_differ(synthesizer: Synthesizer) -> None:
    spoken = [
        synthesizer.speak("good morning", voice).samples
        for voice in (PLAIN, Voice("en-us+f2"), Voice("en"), Voice("en-us", pitch=80))
    ]
    for i, one in enumerate(spoken):
        for other in spoken[i + 1 :]:
            assert len(one) != len(other) or np.abs(one - other).max() > 0.05
    fast, slow = (synthesizer.speak(TEXT, Voice("en-us", rate)).seconds for rate in (230, 130))
    assert slow > 1.4 * fast


@pytest.mark.parametrize("held_out", [False, True])
def test_every_voice_that_can_be_drawn_exists(synthesizer: Synthesizer, held_out: bool) -> None:
    """An unknown variant is no error to espeak-ng: it speaks in the plain voice instead."""
    variants = ["nosuchvariant", *(HELD_OUT if held_out else VARIANTS)]
    spoken = {v: synthesizer.speak("yes my friend", Voice(f"en-us+{v}")).samples for v in variants}
    assert len({samples.tobytes() for samples in spoken.values()}) == len(variants)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_drawn_voices_speak(synthesizer: Synthesizer, language: str) -> None:
    rng = np.random.default_rng(1)
    voices = [Voice.draw(language, rng) for _ in range(20)]
    assert len({voice.name for voice in voices}) > 8
    assert voices == [Voice.draw(language, np.random.default_rng(1))] + voices[1:]
    text = {"en": "yes", "zh": "好"}[language]
    assert all(synthesizer.speak(text, voice).seconds > 0.1 for voice in voices)


def test_voices_for_scores_are_never_trained_on() -> None:
    assert not set(VARIANTS) & set(HELD_OUT)
    rng = np.random.default_rng(0)
    assert {Voice.draw("en", rng, held_out=True).name.split("+")[1] for _ in range(99)} == set(
        HELD_OUT
    )


def test_words_are_where_they_are_spoken(synthesizer: Synthesizer) -> None:
    """Between two clauses there is a pause, and the words around it are louder than it."""
    said = synthesizer.speak(TEXT, PLAIN)
    assert [w.text for w in said.words] == TEXT.split()
    times = [t for w in said.words for t in (w.begin, w.end)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= said.seconds + 1e-3
    assert all(w.end - w.begin > 0.05 for w in said.words)

    def loud(begin: float, end: float) -> float:
        return float(np.square(said.samples[round(begin * 16_000) : round(end * 16_000)]).mean())

    today, i = said.words[5], said.words[6]
    assert loud(today.begin, today.end) > 20 * loud(i.begin - 0.15, i.begin - 0.02)


def test_chinese_characters_are_words(synthesizer: Synthesizer) -> None:
    said = synthesizer.speak("今天天气很好", Voice("cmn", 230))
    assert [w.text for w in said.words] == list("今天天气很好")
    assert all(w.end - w.begin > 0.05 for w in said.words)


def test_tones_are_spoken(synthesizer: Synthesizer) -> None:
    """A front end that does not know a character spells it in English; 妈 and 骂 differ in tone alone."""
    high, falling = (synthesizer.speak(c, Voice("cmn")).samples for c in "妈骂")
    assert 0.1 < len(high) / 16_000 < 1 and len(high) != len(falling)
    by_character = synthesizer.speak("今天天气很好", Voice("cmn")).seconds
    by_pinyin = synthesizer.speak(
        "jin1 tian1 tian1 qi4 hen3 hao3", Voice("cmn-latn-pinyin")
    ).seconds
    assert by_character == pytest.approx(by_pinyin, rel=0.2)


def test_words_from_events() -> None:
    """A word of several events begins with the first, a dash takes no time, silence is no part of a word."""
    events = [(2, 1, 0), (1, 3, 0), (5, 6, 100), (1, 9, 100), (1, 10, 150), (5, 12, 200)]
    samples = np.ones(200, np.float32)
    samples[80:100] = 0
    assert spoken_words("- ab, - 25", events, samples, 100) == (
        SpokenWord("-", 0.0, 0.0),
        SpokenWord("ab,", 0.0, 0.8),
        SpokenWord("-", 0.8, 0.8),
        SpokenWord("25", 1.0, 2.0),
    )


def test_words_spoken_as_one_share_its_time() -> None:
    """Which the library does with "of the" and the like: one event for both."""
    events = [(1, 1, 0), (1, 8, 100)]
    assert spoken_words("of the box", events, np.ones(200, np.float32), 100) == (
        SpokenWord("of", 0.0, 0.4),
        SpokenWord("the", 0.4, 1.0),
        SpokenWord("box", 1.0, 2.0),
    )


def test_chinese_words_are_shared_by_their_characters() -> None:
    """The library speaks 很好 and 那里 as one word each, with one event."""
    events = [(1, 1, 0), (1, 3, 100), (5, 5, 200)]
    assert spoken_words("那里好。", events, np.ones(200, np.float32), 100) == (
        SpokenWord("那", 0.0, 0.5),
        SpokenWord("里", 0.5, 1.0),
        SpokenWord("好。", 1.0, 2.0),
    )


@pytest.mark.parametrize(
    ("text", "voice", "message"),
    [
        ("hi", Voice("xx"), "no voice 'xx'"),
        ("", PLAIN, "makes no sound"),
        ("...", PLAIN, "no sound"),
    ],
)
def test_what_cannot_be_spoken_is_named(
    synthesizer: Synthesizer, text: str, voice: Voice, message: str
) -> None:
    with pytest.raises(SynthesisError, match=message):
        synthesizer.speak(text, voice)


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(SynthesisError, match="no voices for 'fr'; known are en, zh"):
        Voice.draw("fr", np.random.default_rng(0))


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(SynthesisError, match=r"pip install streamtrans\[speech-training\]"):
        Synthesizer()


def test_nothing_that_is_served_imports_it() -> None:
    """espeak-ng is under the GPL-3."""
    served = [f for f in LIBRARY.rglob("*.py") if "training" not in f.parts and f.name != "cli.py"]
    served += (LIBRARY.parent / "server").rglob("*.py")
    assert len(served) > 30
    for file in served:
        for node in ast.walk(ast.parse(file.read_text())):
            named = getattr(node, "module", None) or ""
            named += " ".join(
                alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")
            )
            assert "espeak" not in named and "training.synthesis" not in named, file
