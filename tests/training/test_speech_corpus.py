"""Batches of speech: the same at the same step, whoever makes them; what is in them; recordings and spoken text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fakes import sentences, spoken_vocabulary

from streamtrans.audio.features import SILENCE, LogMel
from streamtrans.models.config import ConfigError
from streamtrans.models.speech_encoder import SpeechEncoderConfig
from streamtrans.training.augmentation import CLEAN, SpecAugment
from streamtrans.training.recipe import Curriculum, Speech, SpeechRecipe
from streamtrans.training.speech_corpus import SpeechBatch, SpeechCorpus
from streamtrans.training.speech_sources import (
    Recordings,
    Source,
    SpokenText,
    plain_voices,
    read_source,
)
from streamtrans.training.synthesis import SynthesisError, Synthesizer, Utterance, Voice
from streamtrans.training.workers import Workers

CONFIG = SpeechEncoderConfig(mels=8, subsampling=4, chunk=2, ahead=1, piece=8)
RECIPE = SpeechRecipe(
    name="toy",
    model={},
    steps=40,
    train=(Speech(recordings="a", share=3), Speech(recordings="b", share=1)),
    dev=(Speech(recordings="a"),),
    seconds=12,
)


class Tones:
    """Utterances of 0.5 to 3 s, each of its own pitch, louder or softer by chance."""

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.seconds = rng.uniform(0.5, 3, count)
        self.transcripts = [line.rstrip(".") for line in sentences(count, seed)]

    def utterance(
        self, row: int, rng: np.random.Generator, voices: Sequence[Voice] = ()
    ) -> Utterance:
        time = np.arange(int(self.seconds[row] * 16_000)) / 16_000
        loud = rng.uniform(0.1, 0.5)
        return Utterance((loud * np.sin(2 * np.pi * (200 + row) * time)).astype(np.float32), ())


ALONE = Workers()
SOURCES = (Tones(300, 1), Tones(40, 2))


def corpus(
    workers: Workers = ALONE, sources: Sequence[Source] = SOURCES, **changes: object
) -> SpeechCorpus:
    recipe = dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]
    return SpeechCorpus(recipe, sources, spoken_vocabulary(), CONFIG, "en", workers)


def same(one: SpeechBatch, other: SpeechBatch) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(a.shape == b.shape and bool((a == b).all()) if isinstance(a, torch.Tensor) else a == b
               for a, b in pairs)  # fmt: skip


@pytest.mark.parametrize("loaders", [0, 2])
def test_a_run_that_goes_on_has_the_batches_it_would_have_had(loaders: int) -> None:
    """Also when other processes make them."""
    through = [corpus()[step] for step in range(6)]
    resumed = corpus(loaders=loaders, steps=6).from_step(3)
    for (pieces, weight, batch), (p, w, b) in zip(through[3:], resumed, strict=True):
        assert (pieces, weight) == (p, w) and same(batch, b)
    assert not same(through[0][2], through[1][2])
    assert not same(through[0][2], corpus(seed=2)[0][2])


def test_workers_share_a_batch() -> None:
    """Each makes its own rows only, and they are those that one alone would make."""
    pieces, weight, whole = corpus()[5]
    shares = [corpus(Workers(rank, 2))[5] for rank in range(2)]
    assert weight == 1 and all(p == pieces and w == 2 for p, w, _ in shares)
    for rank, (_, _, part) in enumerate(shares):
        assert torch.equal(part.frames, whole.frames[rank::2])
        assert torch.equal(part.lengths, whole.lengths[rank::2])
        for i, mel in enumerate(part.mel):
            n = int(part.frames[i])
            torch.testing.assert_close(mel[:n], whole.mel[rank + 2 * i, :n])


def test_a_plan_is_of_one_source_alike_in_length_and_of_the_seconds_asked_for() -> None:
    made, firsts, seconds = corpus(), 0, []
    for step in range(200):
        plan = made.plan(step)
        lengths = plan.source.seconds[plan.rows]
        assert len(set(plan.rows.tolist())) == len(plan.rows)
        if plan.source is SOURCES[0]:
            firsts += 1
            assert lengths.max() - lengths.min() < 0.6
        seconds.append(lengths.sum())
    assert 9 < np.mean(seconds) and max(seconds) <= 12
    assert 0.65 < firsts / 200 < 0.85  # three shares of four


def test_every_second_of_a_source_is_as_likely() -> None:
    made = corpus(train=RECIPE.train[:1], sources=SOURCES[:1])
    heard = np.zeros(300)
    for step in range(1500):
        plan = made.plan(step)
        heard[plan.rows] += 1
    short, long = (heard[half].mean() for half in np.array_split(np.argsort(SOURCES[0].seconds), 2))
    assert 0.85 < short / long < 1.15 and heard.min() > 0


def test_a_batch_is_what_its_rows_sound_like() -> None:
    """Unmasked, unchanged: the features of each row by itself, with silence until its last state is out."""
    made = corpus(augmentation=CLEAN)
    plan = made.plan(7)
    batch = made.batch(plan, np.arange(len(plan.rows)), masked=False)
    assert batch.mel.shape[1] == batch.frames.max()
    for i, row in enumerate(plan.rows):
        rng = np.random.default_rng((RECIPE.seed, 7, i))
        sound = CLEAN.apply(plan.source.utterance(int(row), rng), rng).samples
        n, whole = len(sound) // 160, int(batch.frames[i])
        assert whole == n + CONFIG.tail(n)
        torch.testing.assert_close(batch.mel[i, :n], LogMel(8)(torch.from_numpy(sound)[None])[0])
        assert (batch.mel[i, n + 3 :] == SILENCE).all()
        labels = spoken_vocabulary().encode(plan.source.transcripts[row])
        assert batch.labels[i, : batch.lengths[i]].tolist() == labels
        assert not batch.labels[i, batch.lengths[i] :].any()


def test_masks_stay_within_the_utterance() -> None:
    made = corpus(masks=SpecAugment(bands=1, band=8, spans=1, span=20, share=1.0))
    made.fill = 77.0
    plan = made.plan(7)
    own = np.arange(len(plan.rows))
    plain, masked = made.batch(plan, own, masked=False), made.batch(plan, own)
    changed = plain.mel != masked.mel
    assert changed.any() and (masked.mel[changed] == 77).all()
    for row, n in zip(changed, plain.frames.tolist(), strict=True):
        assert not row[n:].any()


def recorded(folder: Path, speakers: Sequence[str], rate: int = 16_000) -> Path:
    """A manifest of one recording of each speaker, and its sounds: half a second of a tone."""
    tone = 0.3 * np.sin(np.arange(rate // 2) / rate * 2 * np.pi * 440)
    lines = ["id\tpath\tseconds\tspeaker\ttext"]
    for i, speaker in enumerate(speakers):
        soundfile.write(folder / f"{i}.wav", np.stack((tone, tone), 1), rate)
        lines.append(f"{i}\t{i}.wav\t0.5\t{speaker}\tTHE OLD HOUSE, {'NO ' * i}")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_held_out_speakers_are_in_dev_and_nowhere_else(tmp_path: Path) -> None:
    """A speaker whose other sentences were trained on is no test of anything."""
    recorded(tmp_path, ["a", "b", "a", "c", "b", "d", "a"])
    table = Speech(recordings="manifest.tsv", held_out=2)
    train, dev = (Recordings.read(tmp_path, table, "en", held) for held in (False, True))
    counts = [sorted(t.count("no") for t in source.transcripts) for source in (train, dev)]
    assert counts == [[1, 4, 5], [0, 2, 3, 6]]  # b and d; a and c
    everything = Recordings.read(tmp_path, Speech(recordings="manifest.tsv"), "en", True)
    assert len(everything.transcripts) == 7  # a corpus of its own, nothing held out


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_recordings_come_at_16_khz_in_one_channel(tmp_path: Path, rate: int) -> None:
    source = read_source(recorded(tmp_path, "ab", rate), Speech(recordings="manifest.tsv"), "en")
    samples = source.utterance(1, np.random.default_rng(0)).samples
    assert samples.shape == (8000,) and samples.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() == 220 and 0.25 < np.abs(samples).max() < 0.35
    assert source.transcripts[1] == "the old house no"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("0.5\ta\t", "long\ta\t"), "manifest.tsv, line 2: path, seconds or text"),
        (("\ttext\n", "\twords\n"), "manifest.tsv, line 2: path, seconds or text"),
        (("THE OLD HOUSE", "!"), "nothing to hear"),
    ],
)
def test_a_damaged_manifest_is_said(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    path = recorded(tmp_path, "a") / "manifest.tsv"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ConfigError, match=says):
        read_source(tmp_path, Speech(recordings="manifest.tsv"), "en")


def test_a_missing_or_damaged_recording_is_said(tmp_path: Path) -> None:
    source = read_source(recorded(tmp_path, "ab"), Speech(recordings="manifest.tsv"), "en")
    (tmp_path / "0.wav").unlink()
    (tmp_path / "1.wav").write_bytes(b"no sound")
    for row in range(2):
        with pytest.raises(ConfigError, match=f"{row}.wav"):
            source.utterance(row, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="none.tsv"):
        read_source(tmp_path, Speech(recordings="none.tsv"), "en")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    lines = [
        "Hello there!\tx y",
        "Hello there!\tz z",
        "I have 2 books & you?\tx y",
        "It is 10:30.\tx y z",
    ]
    (tmp_path / "a.tsv").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


def test_spoken_text_is_each_source_once_as_it_can_be_spelt(text: Path) -> None:
    pytest.importorskip("num2words", reason="the extra speech-training is not installed")
    source = read_source(text, Speech(text="a.tsv"), "en")
    assert source.transcripts == ["hello there", "it is ten thirty"]
    assert source.seconds[0] < source.seconds[1]


def test_spoken_text_is_spoken_in_the_voices_asked_for() -> None:
    """And lasts about as long as batches are planned for."""
    pytest.importorskip("espeakng_loader", reason="the extra speech-training is not installed")
    source = SpokenText(["Hello there, how are you today my friend?"], "en")
    (voice,) = plain_voices("en", 1)
    ours = source.utterance(0, np.random.default_rng(1), [voice]).samples
    again = source.utterance(0, np.random.default_rng(2), [voice]).samples
    assert np.array_equal(ours, again)
    other = source.utterance(0, np.random.default_rng(1)).samples
    assert len(other) != len(ours) or not np.array_equal(other, ours)
    assert 0.6 < source.seconds[0] / (len(ours) / 16_000) < 1.6


def test_a_text_that_no_voice_can_speak_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a night of training, one odd sentence must not end the run."""
    pytest.importorskip("espeakng_loader", reason="the extra speech-training is not installed")

    def refuses(self: Synthesizer, text: str, voice: Voice) -> Utterance:
        raise SynthesisError("no")

    monkeypatch.setattr(Synthesizer, "speak", refuses)
    utterance = SpokenText(["Hello there"], "en").utterance(0, np.random.default_rng(1))
    assert utterance.seconds == 1 and not utterance.samples.any()


def test_the_curriculum_goes_from_short_and_clean_to_everything() -> None:
    texts = sentences(60, seed=3)
    settings = dict(
        train=(Speech(text="a"), Speech(recordings="b")), curriculum=Curriculum(100, 5, 2)
    )
    sources = (SpokenText(texts, "en"), SOURCES[1])
    made = corpus(sources=sources, **settings)
    plans = [made.plan(step) for step in range(400)]
    assert all(plan.easy for plan in plans[:100]) and not any(plan.easy for plan in plans[200:])
    assert 0.6 < np.mean([plan.easy for plan in plans[100:150]]) < 0.9
    assert 0.1 < np.mean([plan.easy for plan in plans[150:200]]) < 0.4
    for plan in plans:
        if plan.easy:
            assert plan.source is sources[0]
            assert all(len(sources[0].transcripts[row].split()) <= 5 for row in plan.rows)
    assert any(plan.source is sources[1] for plan in plans[200:])
    with pytest.raises(ConfigError, match="no sentence is as short"):
        corpus(**settings)
