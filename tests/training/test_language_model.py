"""N-grams from counts: against a plain implementation on dictionaries, and from corpora to a recogniser's folder."""

from __future__ import annotations

import lzma
import math
from collections import Counter, defaultdict
from pathlib import Path

import fakes
import numpy as np
import pytest

from streamtrans.models import checkpoint
from streamtrans.models.ngram import NGrams
from streamtrans.training import kneser_ney, language_model
from streamtrans.training.kneser_ney import FALLBACK, Model

BOS = 2
SIZE = 60
LINES = fakes.spoken_vocabulary().encode_lines(
    [line.rstrip(".") for line in fakes.sentences(120, seed=5)]
)


def plainly(lines: list[list[int]], order: int) -> dict[tuple[int, ...], dict[int, float]]:
    """p of each piece after each context, from the definition (Chen & Goodman 1999, section 3), in dictionaries."""
    texts = [[BOS, *line] for line in lines]
    raw = Counter(
        tuple(t[i : i + n])
        for t in texts
        for n in range(1, order + 1)
        for i in range(len(t) - n + 1)
        if t[i : i + n] != [BOS]
    )
    before: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for gram in raw:
        if len(gram) > 1:
            before[gram[1:]].add(gram[0])
    counts = {
        gram: count if len(gram) == order or gram[0] == BOS else len(before[gram])
        for gram, count in raw.items()
    }
    discounts = {}
    for n in range(1, order + 1):
        of = Counter(c for g, c in counts.items() if len(g) == n)
        y = of[1] / (of[1] + 2 * of[2]) if of[1] else 0
        found = [i - (i + 1) * y * of[i + 1] / of[i] for i in (1, 2, 3) if of[i] and of[i + 1]]
        good = len(found) == 3 and all(0 <= d <= i for i, d in enumerate(found, 1))
        discounts[n] = [0, *(found if good else FALLBACK)]
    following: dict[tuple[int, ...], dict[int, int]] = defaultdict(dict)
    for gram, count in counts.items():
        following[gram[:-1]][gram[-1]] = count

    def chance(context: tuple[int, ...], piece: int) -> float:
        shorter = chance(context[1:], piece) if context else 1 / (SIZE - 4)
        followers = following.get(context)
        if not followers:
            return shorter
        taken = {p: min(discounts[len(context) + 1][min(c, 3)], c) for p, c in followers.items()}
        total = sum(followers.values())
        own = followers.get(piece, 0) - taken.get(piece, 0)
        return (own + sum(taken.values()) * shorter) / total

    contexts = {(), *(g for g in raw if len(g) < order), (BOS,)}
    return {c: {p: chance(c, p) for p in range(4, SIZE)} for c in sorted(contexts)[::7]}


def packed(pieces: tuple[int, ...]) -> int:
    key = 0
    for piece in pieces:
        key = key << kneser_ney.BITS | piece
    return key


def chances(model: Model, context: tuple[int, ...]) -> np.ndarray:
    keys = np.array([packed((*context, p)) for p in range(SIZE)])
    return kneser_ney.probability(model, keys, len(context) + 1)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_an_estimate_is_that_of_the_definition(order: int) -> None:
    model = kneser_ney.estimate(LINES, SIZE, order)
    for context, expected in plainly(LINES, order).items():
        found = chances(model, context)
        assert np.allclose(found[4:], list(expected.values()), rtol=1e-9)
        assert not found[:4].any() and math.isclose(found.sum(), 1)


@pytest.mark.parametrize("limit", [100, 300, 10_000])
def test_a_mixture_sums_to_one_after_every_context_however_much_is_pruned(limit: int) -> None:
    models = [kneser_ney.estimate(part, SIZE, 3) for part in (LINES[:50], LINES[50:])]
    mixed = kneser_ney.mix(models, (3, 1), limit)
    count = sum(len(grams.keys) for grams in mixed)
    assert count == sum(len(np.union1d(a.keys, b.keys)) for a, b in zip(*models, strict=True)) or (
        limit <= count < 1.2 * limit + SIZE
    )
    for context in [(), (BOS,), *((a,) for a in range(4, SIZE)), (5, 9), (BOS, 7), (20, 30)]:
        assert math.isclose(chances(mixed, context).sum(), 1, rel_tol=1e-6)
    if limit == 10_000:
        every = np.array([packed(tuple(line[:3])) for line in LINES])
        expected = sum(
            w * kneser_ney.probability(m, every, 3)
            for m, w in zip(models, (0.75, 0.25), strict=True)
        )
        assert np.allclose(kneser_ney.probability(mixed, every, 3), expected)


def test_what_is_pruned_first_says_least() -> None:
    """The fewer n-grams there are, the less likely is the text; the first to go cost least."""
    models = [kneser_ney.estimate(LINES[:100], SIZE, 3)]
    every = sum(len(grams.keys) for grams in models[0])
    nats = [
        math.log(NGrams(kneser_ney.levels(mixed), "").perplexity(LINES[:100]))
        for limit in (every, (every + SIZE) // 2, SIZE)
        if (mixed := kneser_ney.mix(models, (1,), limit))
    ]
    assert 0 < nats[1] - nats[0] < nats[2] - nats[1]


def test_a_row_is_the_estimate_in_steps_of_a_sixteenth() -> None:
    model = kneser_ney.mix([kneser_ney.estimate(LINES, SIZE, 4)], (1,), 400)
    ngrams = NGrams(kneser_ney.levels(model), "")
    for line in LINES[:40]:
        for at in range(len(line)):
            context = (BOS, *line)[max(0, at - 2) : at + 1]
            row = ngrams.row(context)
            assert np.isneginf(row[:4]).all()
            exact = np.log(chances(model, context)[4:])
            assert np.abs(row[4:] - exact).max() <= (len(context) + 1) / 32 + 1e-6


def test_lines_shorter_than_the_longest_n_grams_are_enough() -> None:
    model = kneser_ney.estimate([[5, 6], [6, 7], [5]], 10, 4)
    assert chances(model, (5,)).sum() == pytest.approx(1)
    assert chances(model, (5,)).argmax() == 6


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        kneser_ney.estimate(LINES, 5000, 3)
    with pytest.raises(ValueError, match="at most"):
        kneser_ney.estimate(LINES, SIZE, 6)
    with pytest.raises(ValueError, match="no text"):
        kneser_ney.estimate([[]], SIZE, 3)


def test_the_builder_writes_beside_the_recogniser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From corpora as they lie in a data folder: printed sentences, held-out speakers left out."""
    (tmp_path / "text").mkdir()
    lines = [f"{line.capitalize()}\tQuelque chose.\n" for line in fakes.sentences(80, longest=6)]
    for name in ("tatoeba.en-fr.train", "europarl.en-fr.train", "tatoeba.en-fr.dev"):
        (tmp_path / "text" / f"{name}.tsv").write_text("".join(lines))
    (tmp_path / "text" / "europarl.en-fr.dev.tsv").write_text("".join(lines[:9]))
    europarl = tmp_path / "text" / "europarl.en-fr.train.tsv"
    europarl.with_suffix(".tsv.xz").write_bytes(lzma.compress(europarl.read_bytes()))
    for name in ("speechocean762-train", "an4-train"):
        rows = "".join(f"{i}.opus\t2.0\ts{i:02}\tthe boat {w}\n" for i, w in enumerate(fakes.WORDS))
        (tmp_path / "speech" / name).mkdir(parents=True)
        manifest = tmp_path / "speech" / name / "manifest.tsv"
        manifest.write_text("path\tseconds\tspeaker\ttext\n" + rows)
    read = language_model.corpora(tmp_path, "en")
    assert [len(lines) for lines, _ in read[:2]] == [len(set(lines))] * 2
    assert len(read[2][0]) == 2 * len(fakes.WORDS) - len(fakes.WORDS[::12])
    folder = tmp_path / "heard"
    heard = fakes.recognizer()
    checkpoint.save(folder, heard.config, fakes.spoken_vocabulary(), heard.state_dict())
    options = ["--data", str(tmp_path), "--recognizer", str(folder), "--ngrams", "500"]
    language_model.main([*options, "--order", "3"])
    assert "perplexity" in capsys.readouterr().out
    found, vocabulary = checkpoint.load_recognizer(folder)
    assert found.language_model is not None and found.language_model.order == 3
    said = vocabulary.encode("the boat")
    assert found.language_model.perplexity([said]) < SIZE / 4
