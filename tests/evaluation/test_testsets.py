"""Test sets by name and by path: which lines count, and what is said of files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamtrans.evaluation.testsets import FILES, BitextError, load

SHIPPED = Path(__file__).parent.parent / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder as the commands expect it."""
    lines = ["I see.\tJe vois.\tx", "I see.\tJe comprends.", "Go\u2028on.\tContinue.", "A.\tB. "]
    (tmp_path / "tatoeba.en-fr.test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "multi30k").mkdir()
    for language, line in (("en", "A dog ."), ("fr", "Un chien ."), ("de", "Ein Hund .")):
        path = tmp_path / "multi30k" / f"test_2016_flickr.{language}"
        path.write_text(f"{line}\n{line}\n", encoding="utf-8")
    return tmp_path


def test_the_first_of_several_references_counts(folder: Path) -> None:
    """A line may hold U+2028, at which `str.splitlines` would begin another one."""
    bitext = load("tatoeba.en-fr", folder)
    assert bitext.pairs == (
        ("I see.", "Je vois."),
        ("Go\u2028on.", "Continue."),
        ("A.", "B. "),
    )
    assert bitext.sources[0] == "I see." and bitext.references[0] == "Je vois."
    assert bitext.languages == ("en", "fr") and bitext.name == "tatoeba.en-fr"


def test_a_pair_of_files_is_taken_line_by_line(folder: Path) -> None:
    """Multi30k is scored on all its lines, also where a caption comes twice."""
    bitext = load("multi30k.en-de", folder)
    assert bitext.pairs == (("A dog .", "Ein Hund ."),) * 2
    assert bitext.languages == ("en", "de")


def test_a_path_is_a_test_set_without_languages(folder: Path) -> None:
    bitext = load(str(folder / "tatoeba.en-fr.test.tsv"), Path("nowhere"))
    assert (bitext.name, bitext.languages) == ("tatoeba.en-fr.test", None)
    assert bitext.pairs == load("tatoeba.en-fr", folder).pairs


def test_the_shipped_excerpts_load() -> None:
    bitext = load(str(SHIPPED / "tatoeba.en-fr.tsv"), Path("nowhere"), limit=3)
    assert bitext.sources[0] == "You're too suspicious about everything." and len(bitext.pairs) == 3


def test_chinese_sources_are_simplified_and_come_second_in_their_file(tmp_path: Path) -> None:
    """The first reference of a source counts, whatever the script of its copies."""
    pytest.importorskip("opencc", reason="the extra chinese is not installed")
    lines = "It's cold.\t天氣冷。\nThe weather is cold.\t天气冷。\nHi!\t你好！\n"
    (tmp_path / "tatoeba.en-zh.test.tsv").write_text(lines, encoding="utf-8")
    bitext = load("tatoeba.zh-en", tmp_path)
    assert bitext.pairs == (("天气冷。", "It's cold."), ("你好！", "Hi!"))
    assert bitext.languages == ("zh", "en")


def test_a_digest_is_of_the_pairs_that_count(folder: Path) -> None:
    whole = load("tatoeba.en-fr", folder)
    assert whole.by_length().digest == whole.digest
    assert [len(s) for s in whole.by_length().sources] == [2, 6, 6]
    assert [len(s) for s in whole.by_length(after=1).sources] == [6, 2, 6]
    assert load("tatoeba.en-fr", folder, limit=2).digest != whole.digest
    path = folder / "tatoeba.en-fr.test.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace("Continue.", "Va."), encoding="utf-8")
    assert load("tatoeba.en-fr", folder).digest != whole.digest


def test_what_is_no_test_set_is_said(folder: Path) -> None:
    with pytest.raises(BitextError, match="no test set 'wmt': known are tatoeba.en-fr, .*TSV"):
        load("wmt", folder)
    with pytest.raises(BitextError, match="europarl.en-fr.test.tsv cannot be read"):
        load("europarl.en-fr", folder)
    german = folder / FILES["multi30k.en-de"][1]
    german.write_text("Ein Hund .\n")
    with pytest.raises(BitextError, match="has 2 lines and .*de has 1: not a pair"):
        load("multi30k.en-de", folder)
    german.write_bytes(b"\xff\n\n")
    with pytest.raises(BitextError, match="flickr.de cannot be read.*decode"):
        load("multi30k.en-de", folder)
    tsv = folder / "tatoeba.en-fr.test.tsv"
    tsv.write_text("a\tb\nc\n")
    with pytest.raises(BitextError, match="line 2: no TAB"):
        load("tatoeba.en-fr", folder)
    tsv.write_text("")
    with pytest.raises(BitextError, match="holds no pairs"):
        load("tatoeba.en-fr", folder)
