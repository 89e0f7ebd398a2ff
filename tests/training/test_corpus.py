"""Parallel text on its way into batches: nothing lost or twice, the same for the same seed."""

from __future__ import annotations

import lzma
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from fakes import sentences, vocabulary

from streamtrans.models.config import ConfigError
from streamtrans.training.corpus import Pairs, cut, endless, read_pairs
from streamtrans.training.recipe import Corpus

EOS, BOS, PAD = 3, 2, 0


def pairs_of(lengths: list[tuple[int, int]]) -> Pairs:
    """Pairs of so many pieces, each with its number as its piece."""
    return Pairs(
        [[i + 10] * m for i, (m, _) in enumerate(lengths)],
        [[i + 1000] * n for i, (_, n) in enumerate(lengths)],
        EOS,
    )


def some_pairs(count: int, seed: int = 0) -> Pairs:
    rng = np.random.default_rng(seed)
    return pairs_of([(int(a), int(b)) for a, b in rng.integers(1, 30, (count, 2))])


def write(folder: Path, name: str, *lines: str) -> Corpus:
    (folder / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return Corpus(name)


def test_pairs_are_read_cleaned_and_distinct(tmp_path: Path) -> None:
    corpus = write(
        tmp_path,
        "a.tsv",
        "It’s  me .\tC’est moi !\tCC BY 2.0",
        "It's me .\tC'est moi!",
        "\tvide",
        "empty\t",
        "one two\tun deux",
    )
    assert read_pairs(tmp_path, corpus) == [("It's me .", "C'est moi!"), ("one two", "un deux")]


def test_pairs_that_are_too_long_or_unlike_are_left_out(tmp_path: Path) -> None:
    corpus = write(
        tmp_path, "a.tsv", "a b c d\tx", "a b c\tx y z", "a\t" + "x " * 8, "a " * 8 + "\tx"
    )
    assert read_pairs(tmp_path, Corpus(corpus.path, words=3)) == [("a b c", "x y z")]
    assert len(read_pairs(tmp_path, corpus)) == 2


def test_plain_pairs_are_as_people_type(tmp_path: Path) -> None:
    """Without capitals and final punctuation, but a name keeps its capital in the target."""
    corpus = write(tmp_path, "a.tsv", "Tom Is Here.\tTom est là.", "Who is it?\tQui est-ce ?")
    plain = read_pairs(tmp_path, Corpus(corpus.path, plain=True))
    assert plain == [("tom is here", "Tom est là"), ("who is it", "qui est-ce")]


def test_spoken_pairs_are_as_they_are_read_when_heard(tmp_path: Path) -> None:
    """Words alone, numbers spelt out; the target stays as it is printed. What cannot be spoken is left out."""
    pytest.importorskip("num2words")
    lines = ["Well, Tom, it's 5 o'clock.	Tom, il est 5 heures.", "See a@b.c!	Vois a@b.c !"]
    corpus = write(tmp_path, "a.tsv", *lines, "No?	Non ?")
    assert read_pairs(tmp_path, Corpus(corpus.path, spoken="en")) == [
        ("Well tom it's five o'clock", "Tom, il est 5 heures."),
        ("No", "Non?"),
    ]


def test_a_compressed_file_is_the_same(tmp_path: Path) -> None:
    text = "one\tun\ntwo, é 中\tdeux\n"
    (tmp_path / "a.tsv").write_text(text, encoding="utf-8")
    (tmp_path / "a.tsv.xz").write_bytes(lzma.compress(text.encode()))
    plain, packed = (read_pairs(tmp_path, Corpus(name)) for name in ("a.tsv", "a.tsv.xz"))
    assert plain == packed == [("one", "un"), ("two, é 中", "deux")]


def test_a_line_without_a_tab_is_named(tmp_path: Path) -> None:
    corpus = write(tmp_path, "a.tsv", "one\tun", "two deux")
    with pytest.raises(ConfigError, match="a.tsv, line 2: no TAB"):
        read_pairs(tmp_path, corpus)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none.tsv"):
        read_pairs(tmp_path, Corpus("none.tsv"))


def test_a_batch_is_padded_and_shifted() -> None:
    batch = pairs_of([(2, 1), (1, 3)]).batch(np.array([1, 0]), BOS, PAD)
    assert batch.source.tolist() == [[11, EOS, PAD], [10, 10, EOS]]
    assert batch.target.tolist() == [[1001, 1001, 1001, EOS], [1000, EOS, PAD, PAD]]
    assert batch.shifted.tolist() == [[BOS, 1001, 1001, 1001], [BOS, 1000, EOS, PAD]]


def test_encoded_pairs_are_the_vocabularys() -> None:
    words = vocabulary()
    lines = sentences(6, seed=1)
    pairs = Pairs.encode(list(zip(lines[:3], lines[3:], strict=True)), words)
    batch = pairs.batch(np.arange(3), words.bos, words.pad)
    for row, line in zip(batch.target.tolist(), lines[3:], strict=True):
        assert row[: row.index(words.eos)] == words.encode(line)


@pytest.mark.parametrize("tokens", [31, 64, 500, 100_000])
def test_every_pair_once_and_no_batch_above_its_budget(tokens: int) -> None:
    """A batch is a rectangle: rows times the longest side, source or target, padding included."""
    pairs = some_pairs(300)
    order = np.random.default_rng(1).permutation(300)
    batches = cut(pairs.lengths, order, tokens, np.random.default_rng(2))
    assert sorted(np.concatenate(batches).tolist()) == list(range(300))
    for rows in batches:
        widest = int(pairs.lengths[rows].max())
        assert len(rows) and len(rows) * widest <= max(tokens, widest)


def test_a_pair_above_the_budget_is_a_batch_of_its_own() -> None:
    pairs = pairs_of([(3, 3), (90, 90), (3, 3)])
    batches = cut(pairs.lengths, np.arange(3), 20, np.random.default_rng(0))
    assert sorted(sorted(rows.tolist()) for rows in batches) == [[0, 2], [1]]


def test_batches_waste_little_padding() -> None:
    pairs = some_pairs(2000)
    lengths = pairs.lengths[:, 1]
    batches = cut(pairs.lengths, np.arange(2000), 600, np.random.default_rng(0))
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
    assert lengths.sum() / padded > 0.9


def steps(count: int, seed: int = 1, skip: int = 0) -> list[tuple[int, list[int]]]:
    corpora = [some_pairs(60), some_pairs(25, seed=9)]
    found = endless(corpora, [1, 3], 200, seed, skip)
    return [(corpus, rows.tolist()) for corpus, rows in islice(found, count)]


def test_a_seed_fixes_the_order() -> None:
    assert steps(60) == steps(60)
    assert steps(60) != steps(60, seed=2)


def test_skip_goes_on_where_a_run_stopped() -> None:
    """Also when the stop was some epochs in."""
    whole = steps(90)
    for stop in (1, 17, 50):
        assert steps(90 - stop, skip=stop) == whole[stop:]


def test_an_epoch_holds_every_pair_as_often_as_it_says() -> None:
    seen: Counter[tuple[int, int]] = Counter()
    expected = Counter({(0, i): 1 for i in range(60)} | {(1, i): 3 for i in range(25)})
    ends: list[int] = []
    for number, (corpus, rows) in enumerate(steps(200)):
        seen.update((corpus, row) for row in rows)
        if seen == Counter({key: n * (len(ends) + 1) for key, n in expected.items()}):
            ends.append(number + 1)
    assert len(ends) >= 3
    first, second = steps(200)[: ends[0]], steps(200)[ends[0] : ends[1]]
    assert first != second


def test_corpora_are_mixed() -> None:
    """One corpus after the other would end the epoch on the smaller one's style."""
    corpora = [corpus for corpus, _ in steps(20)]
    assert 2 < sum(a != b for a, b in zip(corpora, corpora[1:], strict=False))


def test_two_files_are_one_corpus(tmp_path: Path) -> None:
    """Line by line, a TAB in them is white space; packed or not."""
    (tmp_path / "a.en").write_text("one\ttwo\nthree\n\nfour\n")
    (tmp_path / "a.fr.xz").write_bytes(lzma.compress(b"un deux\ntrois\nrien\nquatre"))
    pairs = read_pairs(tmp_path, Corpus("a.en", target="a.fr.xz"))
    assert pairs == [("one two", "un deux"), ("three", "trois"), ("four", "quatre")]


@pytest.mark.parametrize("lines", ["un\n", "un\ndeux\ntrois\n", ""])
def test_two_files_of_unlike_length_are_named(tmp_path: Path, lines: str) -> None:
    """From the line that is missing on, every source would have another sentence's target."""
    (tmp_path / "a.en").write_text("one\ntwo\n")
    (tmp_path / "a.fr").write_text(lines)
    with pytest.raises(ConfigError, match="a.fr: not as many lines as a.en"):
        read_pairs(tmp_path, Corpus("a.en", target="a.fr"))


def test_a_missing_half_of_a_corpus_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("one\n")
    with pytest.raises(ConfigError, match="No such file.*a.fr"):
        read_pairs(tmp_path, Corpus("a.en", target="a.fr"))
    (tmp_path / "a.fr").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ConfigError, match="a.en: .*decode"):
        read_pairs(tmp_path, Corpus("a.en", target="a.fr"))


CHINESE = Corpus("zh.tsv", swap=True, simplified=True)


@pytest.fixture
def chinese(tmp_path: Path) -> Path:
    pytest.importorskip("opencc", reason="the extra chinese is not installed")
    write(
        tmp_path,
        "zh.tsv",
        "It's nice.\t天氣很好。\tCC BY",
        "It's nice.\t天气很好。",
        "Tom's here, at 3.\tTom ３點来了，對吧？",
        "Go!\t走！",
        "\t空",
    )
    write(tmp_path, "dev.tsv", "Leave.\t走")
    return tmp_path


def test_chinese_is_simplified_swapped_distinct_and_cut_into_words(chinese: Path) -> None:
    assert read_pairs(chinese, CHINESE) == [
        ("天 气 很 好 。", "It's nice."),
        ("Tom ３ 点 来 了 ， 对 吧 ？", "Tom's here, at 3."),
        ("走 ！", "Go!"),
    ]


def test_plain_chinese_is_as_a_recogniser_writes_it(chinese: Path) -> None:
    """No marks; the English keeps its own, as nobody can lower the first letter of "I" or "Mary"."""
    pairs = read_pairs(chinese, replace(CHINESE, plain=True))
    assert pairs[:2] == [
        ("天 气 很 好", "It's nice."),
        ("tom ３ 点 来 了 对 吧", "Tom's here, at 3."),
    ]


def test_sources_of_other_files_are_left_out_however_they_are_punctuated(chinese: Path) -> None:
    """A test sentence in the other script or with another stop would have been trained on."""
    sources = [s for s, _ in read_pairs(chinese, replace(CHINESE, without=("dev.tsv",)))]
    assert sources == ["天 气 很 好 。", "Tom ３ 点 来 了 ， 对 吧 ？"]
    with pytest.raises(ConfigError, match=r"none\.tsv"):
        read_pairs(chinese, replace(CHINESE, without=("none.tsv",)))


def test_pairs_are_joined_each_once(tmp_path: Path) -> None:
    lines = [f"a{i} b{i}\tc{i}." for i in range(7)]
    write(tmp_path, "a.tsv", *lines)
    pairs = read_pairs(tmp_path, Corpus("a.tsv", joined=3))
    assert pairs == read_pairs(tmp_path, Corpus("a.tsv", joined=3)) and len(pairs) == 2
    firsts = [word[1:] for source, _ in pairs for word in source.split()[::2]]
    targets = [word[1:-1] for _, target in pairs for word in target.split()]
    assert firsts == targets and len(set(firsts)) == 6
    with pytest.raises(ConfigError, match="joined"):
        Corpus("a.tsv", joined=0)
