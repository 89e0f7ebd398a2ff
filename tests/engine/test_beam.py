"""The live beam: better words, at the same time as greedy ones, never revised, alone as together."""

from __future__ import annotations

import functools
import random
from dataclasses import replace
from pathlib import Path

import fakes
import pytest
import torch
from test_engine import target_words, together
from torch import Tensor
from typer.testing import CliRunner

import streamtrans
from streamtrans.cli import app
from streamtrans.engine import Engine
from streamtrans.messages import Changed, End, Error, Event, Mark, Segment, SetPolicy, Text
from streamtrans.models import checkpoint
from streamtrans.models.model import Model
from streamtrans.models.search import NEVER, beam_search
from streamtrans.text.target import WORD_PIECES, Detokenizer
from streamtrans.text.vocabulary import Vocabulary

TEXT = "the old house sees a small boat and the river near a quiet garden today."
SEEDS = range(4)


@functools.cache
def letters() -> Tensor:
    """Which pieces are letters and nothing else."""
    words = fakes.vocabulary()
    return torch.tensor([words.decode([i]).isalpha() for i in range(words.size)])


class Endless(fakes.ToyModel):
    """Never wants to end, writes words of letters, and has no strong opinion on how they go on."""

    def logits(self, x: Tensor) -> Tensor:
        return (super().logits(x) * 0.3).masked_fill(~letters(), -torch.inf)


class Short(Endless):
    """Likes short words, so that no word meets a limit, on which greedy search and a beam may differ."""

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x) + 0.7 * torch.tensor(fakes.vocabulary().ends_word)


def engine(seed: int = 7, beam: int = 3, max_batch: int = 8) -> Engine:
    return Engine(fakes.model(seed), fakes.vocabulary(), 16, max_batch, beam)


def roomy(seed: int, beam: int) -> Engine:
    """Its limit on the length of the target does not hold up a word."""
    served = Engine(fakes.model(seed, Short), fakes.vocabulary(), 1, 1, beam)
    served._limits = replace(served._limits, ratio=3.0, spare=60)
    return served


def said(engine: Engine, policy: str, text: str = TEXT) -> list[Event]:
    return fakes.speak(engine, engine.open(policy), Text(text), End())


@functools.cache
def alone(text: str, policy: str) -> list[Event]:
    return said(engine(), policy, text)


def log_probability(model: Model, source: list[int], target: list[int]) -> float:
    """Of the first pieces of a target, by `forward`, without what is never written."""
    everything = torch.full((1, len(target)), len(source))
    shifted = torch.tensor([[Vocabulary.bos, *target[:-1]]])
    logits = model.logits(model(torch.tensor([source]), shifted, everything))[0]
    logits[:, list(NEVER)] = -torch.inf
    return float(logits.log_softmax(1).gather(1, torch.tensor(target)[:, None]).sum())


def first_word(model: Model, beam: int) -> list[int]:
    """The pieces of what is committed first under wait-3."""
    session = (served := Engine(model, fakes.vocabulary(), 1, 1, beam)).open("wait-3")
    served.feed(session, Text("the old house "))
    pieces: list[int] = []
    while not session._written:
        before = session._written_pieces
        served.tick()
        if session._written_pieces > before:
            pieces.append(session.previous)
    return pieces


# --- what it writes --------------------------------------------------------------------------------


@pytest.mark.parametrize("beam", [2, 4])
def test_under_full_it_is_the_full_sentence_beam(beam: int) -> None:
    """Where everything is allowed, one search over the whole target, the very one of the offline reference."""
    vocabulary, differ = fakes.vocabulary(), 0
    for text in fakes.sentences(8, seed=3):
        (pieces,) = beam_search(fakes.model(7), [vocabulary.encode(text)], beam)
        detokenizer = Detokenizer(vocabulary, "fr")
        expected = [detokenizer.feed(piece) for piece in pieces] + [detokenizer.flush()]
        heard = target_words(said(engine(7, beam), "full", text))
        assert [word for word, _ in heard] == [*filter(None, expected)]
        differ += heard != target_words(said(engine(7, 1), "full", text))
    assert differ


def test_a_word_is_the_likelier_for_the_beam() -> None:
    """Hypotheses compare once the word is whole: greedy may begin with a likely piece that leads nowhere."""
    source, better = fakes.vocabulary().encode("the old house"), 0
    for seed in range(20):
        model = fakes.model(seed, Endless)
        greedy, wide = (log_probability(model, source, first_word(model, beam)) for beam in (1, 8))
        assert wide >= greedy - 1e-9
        better += wide > greedy + 1e-9
    assert better > 3


# --- when ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["wait-1", "wait-3", "wait-2:0.25"])
def test_delays_are_those_of_greedy_search(policy: str) -> None:
    """Words may differ, and so may where the last one stands; how much was READ before word w may not."""
    differ = 0
    for seed in SEEDS:
        heard = [target_words(said(roomy(seed, beam), policy)) for beam in (1, 2, 5)]
        for greedy, wide in (heard[:2], heard[::2]):
            both = min(len(greedy), len(wide))
            assert both > 4
            assert [read for _, read in wide[:both]] == [read for _, read in greedy[:both]]
            differ += wide != greedy
    assert differ > 4


@pytest.mark.parametrize("text", [TEXT, "the one. " * 3, "bread"])
def test_nothing_is_allowed_before_its_time(text: str) -> None:
    """Whatever else the model would like to write, word w needs w + k source words of its segment, or its end."""
    for seed in SEEDS:
        session = (served := engine(seed, 4)).open("wait-2")
        served.feed(session, Text(text))
        served.feed(session, End())
        while served.ready:
            served.tick()
            assert len(session.planned) <= WORD_PIECES or session._ended


# --- with others -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_together_gives_the_very_tokens_that_alone_gives(seed: int) -> None:
    """Plans are made for several sessions at once, in rows that others' plans were in before."""
    rng = random.Random(seed)
    texts = [" ".join(fakes.sentences(rng.randint(1, 2), seed + i, 7)) for i in range(6)]
    policies = [rng.choice(["wait-1", "wait-2", "wait-5:0.2", "full"]) for _ in texts]
    events = together(engine(max_batch=rng.randint(1, 6)), texts, policies, rng)
    for heard, text, policy in zip(events, texts, policies, strict=True):
        assert heard == alone(text, policy)


def test_a_plan_of_the_old_policy_is_not_carried_out() -> None:
    """Everything was allowed when the plan was made, then the speaker asked for wait-k and a READ came first."""
    served = engine(7, 3)
    session = served.open("wait-1:0.9")
    events = fakes.speak(served, session, Text("the old house sees a small boat "))
    events += fakes.speak(
        served, session, SetPolicy("wait-4"), Mark("here"), Text("and the river."), End()
    )
    changed = next(i for i, e in enumerate(events) if isinstance(e, Changed))
    assert target_words(events[:changed]) and not any(isinstance(e, Error) for e in events)
    before = len(target_words(events[:changed]))
    total = len("the old house sees a small boat and the river.".split())
    segment = next(i for i, e in enumerate(events) if isinstance(e, Segment))
    for w, (_, read) in enumerate(target_words(events[changed:segment]), before):
        assert read >= min(w + 4, total)


@pytest.mark.parametrize("system", ["adaptive", "mma-il"])
def test_learned_policies_ask_the_model_word_by_word(system: str) -> None:
    model = fakes.system(system, 3)
    policy = "adaptive-1-4" if system == "adaptive" else "monotonic"
    events = said(Engine(model, fakes.vocabulary(), 4, 4, beam=3), policy)
    assert target_words(events) and not any(isinstance(e, Error) for e in events)
    if system == "adaptive":
        length = len(TEXT.split())
        assert all(read >= min(w + 1, length) for w, (_, read) in enumerate(target_words(events)))


# --- options ---------------------------------------------------------------------------------------


def test_a_beam_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="beam must be at least 1, not 0"):
        engine(beam=0)


def test_beam_is_an_option_of_load_and_of_evaluate(tmp_path: Path) -> None:
    """The same words by either way, and other words than greedy search finds."""
    model = fakes.model().float()
    checkpoint.save(tmp_path / "toy", model.config, fakes.vocabulary(), model.state_dict())
    lines = [*fakes.sentences(4, seed=2)]
    (tmp_path / "a.txt").write_text("".join(f"{line}\n" for line in lines))
    found = []
    for beam in (1, 4):
        out = tmp_path / f"{beam}.out"
        options = {"source": tmp_path / "a.txt", "target": tmp_path / "a.txt", "output": out}
        options |= {"model": tmp_path / "toy", "beam": beam, "threads": 1, "device": "cpu"}
        flat = [str(x) for name, value in options.items() for x in (f"--{name}", value)]
        result = CliRunner().invoke(app, ["evaluate", *flat, "--timed", "0"])
        assert result.exit_code == 0, result.stderr
        words = []
        for line in lines:
            translator = streamtrans.load(str(tmp_path / "toy"), "cpu", "float32", 1, beam=beam)
            with translator.open("wait-3") as session:
                events = [*session.feed(line), *session.end()]
            words.append(" ".join(word for word, _ in target_words(events)))
        assert out.read_text("utf-8").split("\n")[:-1] == words
        found.append(words)
    assert found[0] != found[1]
