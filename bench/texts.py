"""Real English sentences for the measurements, shipped with the tests."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "tests" / "data"


def words() -> list[str]:
    """The words of all shipped test sentences, in order: Europarl and Tatoeba mixed."""
    lines: list[str] = []
    for name in ("europarl.en-fr.tsv", "tatoeba.en-fr.tsv"):
        lines += (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [word for line in lines[::2] + lines[1::2] for word in line.split("\t")[0].split()]
