"""A teacher's translations as a corpus: in order, each source once, and the same however often the run was stopped."""

from __future__ import annotations

from pathlib import Path

import fakes
import pytest
from typer.testing import CliRunner, Result

from streamtrans.cli import app
from streamtrans.models import checkpoint
from streamtrans.models.search import beam_search
from streamtrans.training import distill as module
from streamtrans.training.corpus import read_pairs
from streamtrans.training.distill import DistillError, distill, distinct_sources
from streamtrans.training.recipe import Corpus

SOURCES = [*dict.fromkeys(fakes.sentences(11, seed=4))]
TEACHER = fakes.model(seed=7)  # it has something else to say of most of them


def hypotheses(sources: list[str], width: int = 2) -> list[str]:
    """As the teacher finds them, line by line."""
    vocabulary, found = fakes.vocabulary(), []
    for source in sources:
        (pieces,) = beam_search(TEACHER, [vocabulary.encode(source)], width)
        while pieces and not vocabulary.ends_word[pieces[-1]]:
            pieces.pop()
        found.append(vocabulary.decode(pieces))
    return found


def run(out: Path, sources: list[str] = SOURCES) -> list[int]:
    return list(distill(TEACHER, fakes.vocabulary(), sources, out, width=2))


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\n")[:-1]


def test_each_source_has_the_hypothesis_of_the_beam(tmp_path: Path) -> None:
    out = tmp_path / "out.tsv"
    assert run(out) == [0, 11]
    expected = hypotheses(SOURCES)
    assert lines(out) == [f"{s}\t{h}" for s, h in zip(SOURCES, expected, strict=True)]
    assert len(set(expected)) > 5 and all(expected)


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a whole block, and after a power cut in the middle of a line, of a sign even."""
    monkeypatch.setattr(module, "BLOCK", 4)
    whole, out = tmp_path / "whole.tsv", tmp_path / "out.tsv"
    assert run(whole) == [0, 4, 8, 11]
    steps = distill(TEACHER, fakes.vocabulary(), SOURCES, out, width=2)
    assert [next(steps), next(steps)] == [0, 4]
    assert len(lines(out)) == 4  # on the disk before the next block begins
    steps.close()
    out.write_bytes(out.read_bytes() + SOURCES[4].encode() + "\té".encode()[:-1])
    assert run(out) == [4, 8, 11]
    assert out.read_bytes() == whole.read_bytes()
    assert run(out) == [11] and out.read_bytes() == whole.read_bytes()


def test_a_file_of_other_sources_is_not_touched(tmp_path: Path) -> None:
    out = tmp_path / "out.tsv"
    for text in (
        f"{SOURCES[0]}\ta\nanother\tb\ntorn",
        "".join(f"{s}\ta\n" for s in [*SOURCES, "more"]),
    ):
        out.write_text(text)
        with pytest.raises(DistillError, match=r"out.tsv, line (2|12): of other sources"):
            run(out)
        assert out.read_text() == text


def test_a_source_beyond_the_memory_is_left_empty(tmp_path: Path) -> None:
    """Training leaves such a pair out; the lines after it stay where they belong."""
    out = tmp_path / "out.tsv"
    sources = [SOURCES[0], "bread " * 96 + "bread", SOURCES[1]]
    run(out, sources)
    first, second = hypotheses(SOURCES[:2])
    assert [line.split("\t")[1] for line in lines(out)] == [first, "", second]
    assert [s for s, _ in read_pairs(tmp_path, Corpus("out.tsv", words=99))] == SOURCES[:2]


def test_sources_are_distinct_and_as_training_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("A  boat .\tUn\nThe book\tdeux\nA boat .\tune autre\n")
    (tmp_path / "b.tsv").write_text("the book.\tdeux\nA boat .\ttrois\n\tvide\n")
    corpora = [Corpus("a.tsv"), Corpus("b.tsv"), Corpus("a.tsv", plain=True)]
    assert distinct_sources(tmp_path, corpora) == [
        "A boat .",
        "The book",
        "the book.",
        "a boat ",
        "the book",
    ]
    (tmp_path / "c.tsv").write_text("\tvide\n")
    with pytest.raises(DistillError, match="no pair"):
        distinct_sources(tmp_path, [Corpus("c.tsv")])


# --- the command -----------------------------------------------------------------------------------


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["distill", *(str(a) for a in arguments)])


def test_the_command_takes_files_or_a_recipe(tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    model = fakes.model(seed=7).float()
    checkpoint.save(teacher, model.config, fakes.vocabulary(), model.state_dict())
    (tmp_path / "a.tsv").write_text("".join(f"{s}\t{s}\n" for s in SOURCES[:5]))
    (tmp_path / "b.tsv").write_text("".join(f"{s}\t{s}\n" for s in SOURCES[3:]))
    options = ("--data", tmp_path, "--beam", 2, "--threads", 1, "--device", "cpu")
    out = tmp_path / "out.tsv"
    result = command(teacher, "--corpus", "a.tsv", "--corpus", "b.tsv", "--out", out, *options)
    assert result.exit_code == 0, result.stderr
    assert f"11 pairs: {out}" in result.output.replace("\n", "")
    assert [line.split("\t")[0] for line in lines(out)] == SOURCES
    recipe = tmp_path / "toy.toml"
    recipe.write_text(
        'name = "toy"\nsteps = 1\nmodel = {name = "toy"}\n'
        'train = [{path = "b.tsv"}]\ndev = [{path = "a.tsv"}]\n'
    )
    result = command(teacher, "--recipe", recipe, "--out", tmp_path / "b.out", *options)
    assert result.exit_code == 0, result.stderr
    assert [line.split("\t")[0] for line in lines(tmp_path / "b.out")] == SOURCES[3:]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["en-fr"], "either --recipe or --corpus"),
        (["en-fr", "--recipe", "en-fr-text", "--corpus", "a.tsv"], "either --recipe or --corpus"),
        (["en-xx", "--corpus", "a.tsv"], "no model 'en-xx'"),
        (["en-fr", "--corpus", "a.tsv"], "a.tsv"),
        (["en-fr", "--recipe", "no"], "no recipe 'no'"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, arguments: list[str], says: str) -> None:
    result = command(*arguments, "--out", tmp_path / "out.tsv", "--data", tmp_path, "--threads", 1)
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("streamtrans: ") and says in result.stderr
    assert not (tmp_path / "out.tsv").exists()
