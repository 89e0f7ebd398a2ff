"""Sequence-level knowledge distillation (Kim & Rush 2016, section 3.2): a student learns what a teacher's beam finds.

Full-sentence translations by a teacher replace the references of a corpus; they are more literal and more regular, so
a student, above all one that must WRITE early, learns them more easily. It knows files of pairs and a teacher; what it
writes is a corpus as any other, source TAB hypothesis.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from streamtrans.models.model import Model
from streamtrans.models.search import beam_search
from streamtrans.text.normalize import normalize
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.corpus import read_pairs
from streamtrans.training.recipe import Corpus

BLOCK = 2048  # sentences between two writes to the disk


class DistillError(ValueError):
    """A file that is not the beginning of this distillation, or nothing to distil."""


def distinct_sources(data: Path, corpora: Sequence[Corpus]) -> list[str]:
    """The sources of corpora as training reads them, in their order, each once. Raises ConfigError, DistillError."""
    pairs = (pair for corpus in corpora for pair in read_pairs(data, corpus))
    sources = list(dict.fromkeys(source for source, _ in pairs))
    if not sources:
        raise DistillError("the corpora hold no pair that training would use")
    return sources


def distill(
    model: Model, vocabulary: Vocabulary, sources: Sequence[str], out: Path, width: int = 4
) -> Iterator[int]:
    """Write `source TAB hypothesis` for each source, in order; yield how many lines there are, at first and after each
    block.

    Goes on where a run into the same file stopped; a torn last line is dropped. A source that does not fit the
    teacher's memory has an empty hypothesis, which training leaves out. Raises DistillError if the file has other
    sources.
    """
    count = _resume(out, sources)
    yield count
    with out.open("a", encoding="utf-8", newline="\n") as file:
        while count < len(sources):
            block = sources[count : count + BLOCK]
            hypotheses = _translate(model, vocabulary, block, width)
            file.writelines(f"{s}\t{h}\n" for s, h in zip(block, hypotheses, strict=True))
            file.flush()
            os.fsync(file.fileno())
            count += len(block)
            yield count


def _resume(out: Path, sources: Sequence[str]) -> int:
    """How many lines are there already."""
    if not out.exists():
        return 0
    written = out.read_bytes()
    whole = written[: written.rfind(b"\n") + 1]
    lines = whole.decode(errors="replace").split("\n")[:-1]
    for number, line in enumerate(lines):
        if number >= len(sources) or line.partition("\t")[0] != sources[number]:
            raise DistillError(
                f"{out}, line {number + 1}: of other sources; remove it or name another file"
            )
    if len(whole) < len(written):
        os.truncate(out, len(whole))
    return len(lines)


def _translate(
    model: Model, vocabulary: Vocabulary, sources: Sequence[str], width: int
) -> list[str]:
    pieces = vocabulary.encode_lines(sources)
    fitting = [p if len(p) < model.config.memory else [] for p in pieces]
    return [_text(vocabulary, target) for target in beam_search(model, fitting, width)]


def _text(vocabulary: Vocabulary, pieces: list[int]) -> str:
    """Whole words: a target that was cut at its limit may end in half a one."""
    while pieces and not vocabulary.ends_word[pieces[-1]]:
        pieces = pieces[:-1]
    return " ".join(normalize(vocabulary.decode(pieces)).split())
