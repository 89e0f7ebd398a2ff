"""The language model of a recogniser, beside its weights: n-grams of its pieces, from text and transcripts.

`python -m streamtrans.training.language_model --data FOLDER --recognizer FOLDER`: counts the train corpora of its
language, those of the recipes, as the recogniser would write them, and writes language-model.safetensors into its
folder. The perplexities of a piece that it prints are of the dev texts, which are not in it.

It knows files, spellings and weights. It does not know how n-grams are estimated (kneser_ney.py) or used (ngram.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamtrans.models import checkpoint
from streamtrans.models.config import ConfigError
from streamtrans.models.ngram import NGrams, digest
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training import kneser_ney
from streamtrans.training.corpus import read_pairs
from streamtrans.training.recipe import Corpus, Speech
from streamtrans.training.speech_sources import Recordings
from streamtrans.training.transcript import spoken, transcript


@dataclass(frozen=True)
class Sources:
    """Corpora of one language, each with its weight whatever its size: what people say to each other weighs more than
    debates. recorded: their transcripts together have the weight `share`.
    """

    texts: tuple[tuple[Corpus, float], ...]
    recorded: tuple[Speech, ...]
    share: float
    dev: tuple[Corpus, ...]


_CHINESE_DEV = Corpus("text/tatoeba.en-zh.dev.tsv", swap=True, simplified=True)
SOURCES = {
    "en": Sources(
        texts=(
            (Corpus("text/tatoeba.en-fr.train.tsv"), 0.45),
            (Corpus("text/europarl.en-fr.train.tsv.xz", words=25), 0.45),
        ),
        recorded=(
            Speech(recordings="speech/speechocean762-train/manifest.tsv", held_out=12),
            Speech(recordings="speech/an4-train/manifest.tsv"),
        ),
        share=0.1,
        dev=(
            Corpus("text/tatoeba.en-fr.dev.tsv"),
            Corpus("text/europarl.en-fr.dev.tsv", words=25),
        ),
    ),
    "zh": Sources(
        texts=(
            (
                Corpus(
                    "text/tatoeba.en-zh.train.tsv",
                    swap=True,
                    simplified=True,
                    without=(_CHINESE_DEV.path, "text/tatoeba.en-zh.test.tsv"),
                ),
                0.9,
            ),
        ),
        recorded=(Speech(recordings="speech/aishell-s0150-train/manifest.tsv", held_out=10),),
        share=0.1,
        dev=(_CHINESE_DEV,),
    ),
}
ORDER = 4
LIMIT = 1_000_000


def build(
    corpora: Sequence[tuple[Iterable[str], float]],
    vocabulary: Vocabulary,
    order: int = ORDER,
    limit: int = LIMIT,
) -> NGrams:
    """A model of some corpora, each with its weight, in n-grams of up to `order` pieces, about `limit` of them.

    A corpus is lines as a recogniser writes them. ValueError: one that has none in these pieces.
    """
    models = [
        kneser_ney.estimate(encoded(lines, vocabulary), vocabulary.size, order)
        for lines, _ in corpora
    ]
    mixed = kneser_ney.mix(models, [weight for _, weight in corpora], limit)
    return NGrams(kneser_ney.levels(mixed), digest(vocabulary))


def encoded(lines: Iterable[str], vocabulary: Vocabulary) -> list[list[int]]:
    """Their pieces, without lines that these cannot spell."""
    pieces = vocabulary.encode_lines(list(lines))
    return [line for line in pieces if line and vocabulary.unk not in line]


def written(folder: Path, corpus: Corpus, language: str) -> list[str]:
    """The distinct sources of pairs as transcripts, without those that cannot be spelt. Raises ConfigError."""
    sources = dict.fromkeys(source for source, _ in read_pairs(folder, corpus))
    said = (spoken(source, language) for source in sources)
    return [transcript(text, language) for text in said if text]


def corpora(folder: Path, language: str) -> list[tuple[list[str], float]]:
    """What the model learns from, under a data folder. Raises ConfigError."""
    sources = SOURCES.get(language)
    if sources is None:
        raise ConfigError(f"no corpora of {language!r}: known are {', '.join(SOURCES)}")
    read = [(written(folder, corpus, language), weight) for corpus, weight in sources.texts]
    recorded = [
        line
        for speech in sources.recorded
        for line in Recordings.read(folder, speech, language).transcripts
    ]
    return [*read, (recorded, sources.share)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, write, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="with text/ and speech/ in it")
    parser.add_argument("--recognizer", type=Path, required=True, help="folder of a checkpoint")
    parser.add_argument("--order", type=int, default=ORDER, help="pieces in the longest n-grams")
    parser.add_argument("--ngrams", type=int, default=LIMIT, help="kept, of all lengths")
    args = parser.parse_args(arguments)
    recognizer, vocabulary = checkpoint.load_recognizer(args.recognizer)
    language = recognizer.config.language
    model = build(corpora(args.data, language), vocabulary, args.order, args.ngrams)
    path = args.recognizer / checkpoint.LANGUAGE_MODEL
    model.write(path)
    sizes = ", ".join(f"{len(level.pieces):,}" for level in model.levels)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, n-grams by length: {sizes}")
    for corpus in SOURCES[language].dev:
        lines = encoded(written(args.data, corpus, language), vocabulary)
        print(f"{corpus.path}: perplexity {model.perplexity(lines):.1f} a piece")


if __name__ == "__main__":
    main()
