"""A direct model of speech at commands that are for written words: one line says so, before anything starts."""

from __future__ import annotations

from pathlib import Path

import fakes
import pytest
import soundfile
from command import refused, run

from streamtrans import pretrained
from streamtrans.models import checkpoint


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a toy with a recogniser in it."""
    folder = tmp_path_factory.mktemp("models")
    heard, model = fakes.recognizer(), fakes.direct_model()
    checkpoint.save(folder / "ear", heard.config, fakes.spoken_vocabulary(), heard.state_dict())
    toy = folder / "direct", model.config, fakes.vocabulary(), model.state_dict()
    checkpoint.save(*toy, recognizer=folder / "ear")
    return str(folder / "direct")


def test_it_is_told_apart_without_loading_it(direct: str) -> None:
    assert pretrained.direct(direct) and not pretrained.direct("en-fr")
    assert pretrained.languages(direct) == ("en", "fr")


def test_what_needs_written_words_says_so(direct: str, tmp_path: Path) -> None:
    bitext = tmp_path / "toys.tsv"
    bitext.write_text("a boat\tun bateau\n")
    out = "--out", tmp_path / "out"
    refused(run("demo", "--text", "--model", direct), "nothing can be typed to it")
    refused(run("bench", "load", "--model", direct, *out), "--audio")
    refused(run("bench", "quality", direct, "--test", bitext, *out), "a bitext is written words")
    assert not (tmp_path / "out").exists()


def test_without_translations_there_is_nothing_to_score_against(
    direct: str, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", fakes.noise(1.0), 16_000)
    manifest = tmp_path / "manifest.tsv"
    manifest.write_text("id\tpath\tseconds\ttext\na\ta.wav\t1\tthe old house\n")
    arguments = "--manifest", manifest, "--model", direct, "--policy", "wait-1"
    refused(run("evaluate", *arguments), "the manifest has no translations")
