"""The file of an n-gram model: whole, of the right pieces, or a named error; rows are remembered and bounded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest

from streamtrans.models import checkpoint
from streamtrans.models.checkpoint import CheckpointError
from streamtrans.models.ngram import ROWS, NGramError, NGrams

PATH = "language-model.safetensors"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    model, vocabulary = fakes.language_model(), fakes.spoken_vocabulary()
    model.write(tmp_path / PATH)
    found = NGrams.load(tmp_path / PATH, vocabulary)
    assert found.order == model.order == 3
    for text in ("the old house", "boat under"):
        pieces = tuple(vocabulary.encode(text))
        for at in range(len(pieces)):
            before = pieces[max(0, at - 2) : at]
            assert np.array_equal(found.row(before), model.row(before))
    assert found.perplexity([list(pieces)]) == model.perplexity([list(pieces)])


def test_what_follows_is_likelier_than_what_does_not() -> None:
    """Within a word, for one; and after pieces that are not known together, the last of them counts."""
    model, vocabulary = fakes.language_model(), fakes.spoken_vocabulary()
    first, second = next(p for w in fakes.WORDS if len(p := vocabulary.encode(w)) > 1)[:2]
    row = model.row((first,))
    assert row[second] > model.row(())[second]
    unknown = next(p for p in range(4, 60) if model._find((p, first)) is None)
    assert np.array_equal(model.row((unknown, first)), row)


def test_rows_that_are_remembered_are_bounded() -> None:
    model = NGrams(fakes.language_model().levels, "")
    for a in range(4, 60):
        for b in range(4, 60):
            for _ in range(2):
                model.row((a, b))
    counted = model.row.cache_info()
    assert counted.maxsize == ROWS and counted.currsize <= ROWS and counted.hits >= 56 * 56


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    model, path = fakes.language_model(), tmp_path / PATH
    with pytest.raises(OSError):
        NGrams.load(path, fakes.spoken_vocabulary())
    model.write(path)
    with pytest.raises(NGramError, match="another vocabulary"):
        NGrams.load(path, fakes.vocabulary())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NGramError):
        NGrams.load(path, fakes.spoken_vocabulary())
    short = [replace(model.levels[0], first=model.levels[0].first[:-1]), *model.levels[1:]]
    large = [*model.levels[:2], replace(model.levels[2], pieces=model.levels[2].pieces + 60)]
    for levels in (short, large, model.levels[:2], model.levels[1:]):
        NGrams(levels, model.digest).write(path)
        with pytest.raises(NGramError, match="fit"):
            NGrams.load(path, fakes.spoken_vocabulary())


def test_a_recogniser_with_a_damaged_one_is_no_checkpoint(tmp_path: Path) -> None:
    heard = fakes.recognizer()
    checkpoint.save(tmp_path / "a", heard.config, fakes.spoken_vocabulary(), heard.state_dict())
    assert checkpoint.load_recognizer(tmp_path / "a")[0].language_model is None
    (tmp_path / "a" / checkpoint.LANGUAGE_MODEL).write_bytes(b"no")
    with pytest.raises(CheckpointError, match=PATH):
        checkpoint.load_recognizer(tmp_path / "a")
