"""Test sets: sources with one reference each, from a data folder by name or from a TSV file.

It knows file names and layouts. It does not know models, scores or languages beyond what a name says.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from streamtrans.text.simplified import simplified

FILES: dict[str, tuple[str, ...]] = {
    "tatoeba.en-fr": ("tatoeba.en-fr.test.tsv",),
    "europarl.en-fr": ("europarl.en-fr.test.tsv",),
    "multi30k.en-fr": ("multi30k/test_2016_flickr.en", "multi30k/test_2016_flickr.fr"),
    "multi30k.en-de": ("multi30k/test_2016_flickr.en", "multi30k/test_2016_flickr.de"),
    "tatoeba.zh-en": ("tatoeba.en-zh.test.tsv",),
}
REFERENCE_FIRST = {"tatoeba.zh-en"}  # whose sources become Simplified


class BitextError(ValueError):
    """A test set that nobody knows, whose files are missing, or that holds no pairs."""


@dataclass(frozen=True)
class Bitext:
    """(source, reference) pairs in the order of their file. languages: source and target, if the name says them."""

    name: str
    pairs: tuple[tuple[str, str], ...]
    languages: tuple[str, str] | None = None

    @property
    def sources(self) -> list[str]:
        """The source of each pair."""
        return [source for source, _ in self.pairs]

    @property
    def references(self) -> list[str]:
        """The reference of each pair."""
        return [reference for _, reference in self.pairs]

    @property
    def digest(self) -> str:
        """SHA-256 of the pairs, whatever their order, as hexadecimal digits."""
        lines = sorted(f"{source}\t{reference}\n" for source, reference in self.pairs)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def by_length(self, after: int = 0) -> Bitext:
        """Sources of like length together, so that they end together and waste no batches; the first `after` stay."""
        rest = sorted(self.pairs[after:], key=lambda pair: len(pair[0]))
        return dataclasses.replace(self, pairs=(*self.pairs[:after], *rest))


def load(name: str, folder: Path, limit: int | None = None) -> Bitext:
    """A test set by a name of `FILES`, or by the path of a TSV file; the first `limit` pairs of it.

    A TSV file holds source TAB reference (further columns are ignored); a source that comes again is left out, so that
    the first of several references counts. A pair of files is taken line by line. Raises BitextError, and
    SimplifiedMissing for Chinese.
    """
    if name in FILES:
        files = [folder / file for file in FILES[name]]
        source, _, target = name.rpartition(".")[2].partition("-")
        pairs = _simplified(*files) if name in REFERENCE_FIRST else _pairs(*files)
        bitext = Bitext(name, pairs, (source, target))
    elif Path(name).is_file():
        bitext = Bitext(Path(name).stem, _pairs(Path(name)))
    else:
        known = ", ".join(FILES)
        raise BitextError(
            f"no test set {name!r}: known are {known}, or give the path of a TSV file"
        )
    if not bitext.pairs:
        raise BitextError(f"{name} holds no pairs")
    return dataclasses.replace(bitext, pairs=bitext.pairs[:limit])


def _pairs(source: Path, target: Path | None = None) -> tuple[tuple[str, str], ...]:
    if target is None:
        return _first(_columns(source))
    sources, references = list(_lines(source)), list(_lines(target))
    if len(sources) != len(references):
        raise BitextError(
            f"{source} has {len(sources)} lines and {target} has {len(references)}: not a pair"
        )
    return tuple(zip(sources, references, strict=True))


def _simplified(path: Path) -> tuple[tuple[str, str], ...]:
    return _first((simplified(source), reference) for reference, source in _columns(path))


def _first(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    first: dict[str, str] = {}
    for source, reference in pairs:
        first.setdefault(source, reference)
    return tuple(first.items())


def _columns(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_lines(path), 1):
        left, tab, rest = line.partition("\t")
        if not tab:
            raise BitextError(f"{path}, line {number}: no TAB between source and reference")
        yield left, rest.partition("\t")[0]


def _lines(path: Path) -> Iterator[str]:
    """As `wc` counts them: `splitlines` would also cut at U+2028 and U+0085, which corpora do hold."""
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                yield line.rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BitextError(f"{path} cannot be read as a test set: {error}") from error
