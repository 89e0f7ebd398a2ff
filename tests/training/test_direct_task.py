"""Direct translation from recipe to session: its objective, and a run that is stopped, resumed and served."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from fakes import sentences
from safetensors.torch import load_file
from stopping import assert_alike, stopped

from streamtrans import pretrained
from streamtrans.messages import Audio, Done, End, Source
from streamtrans.models import checkpoint
from streamtrans.models.config import ConfigError, ModelConfig, build
from streamtrans.models.ctc import CTCWords
from streamtrans.models.model import Model
from streamtrans.models.piece_states import end, evidence
from streamtrans.models.recognizer import BLANK, best
from streamtrans.training.direct_objective import SpeechTranslation, shifted
from streamtrans.training.objective import FULL, NEVER_READ
from streamtrans.training.recipe import DirectRecipe, Optimizer, Speech, load_recipe
from streamtrans.training.speech_corpus import SpeechBatch
from streamtrans.training.speech_sources import SpokenText
from streamtrans.training.trainer import Trainer
from streamtrans.translator import load_engine

PAD, BOS, EOS = 0, 2, 3
RECIPE = DirectRecipe(
    name="toy",
    start="text",
    recognizer="heard",
    model=dict(name="direct", dropout=0.1),
    train=(Speech(recordings="manifest.tsv", held_out=5),),
    dev=(Speech(recordings="manifest.tsv", held_out=5),),
    steps=6,
    seconds=8,
    optimizer=Optimizer(rate=5e-3, embedding_rate=5e-3, warmup=1),
    checkpoint_every=2,
    keep=3,
    average=2,
)


# --- the objective --------------------------------------------------------------------------------


def batch() -> SpeechBatch:
    """Sound of unlike length and sentences that have nothing to do with it."""
    sounds = [fakes.noise(2.0, 1), fakes.noise(0.7, 2), np.zeros(800, np.float32)]
    lines = fakes.vocabulary().encode_lines(sentences(3, seed=5, longest=6))
    return SpeechBatch.of(sounds, [[*line, EOS] for line in lines], fakes.HEARD)


def objective(smoothing: float = 0.0) -> SpeechTranslation:
    model = fakes.model(made=Model, states=fakes.HEARD.dim).requires_grad_(True)
    ends_word = torch.tensor(fakes.vocabulary().ends_word)
    heard = (fakes.recognizer(), fakes.spoken_vocabulary())
    return SpeechTranslation(model, heard, ends_word, smoothing)


def one_by_one(model: Model, b: SpeechBatch, row: int, k: int) -> float:
    """The cross-entropy of one sentence: READ a word, WRITE a piece, as a session of wait-k does."""
    mel, recognizer = b.mel[row, : int(b.frames[row])].double()[None], fakes.recognizer()
    states = recognizer.encode(mel)
    logits = recognizer.output(states)
    words = CTCWords(fakes.spoken_vocabulary(), fakes.HEARD, "en")
    heard = words.feed(best(logits)[0].tolist(), evidence(states, logits)[0]) + words.flush()
    reads = [word.states for word in heard if word.states is not None] + [end(fakes.HEARD.dim)]
    state, previous, written, loss = model.init_state(1), BOS, 0, 0.0
    for piece in b.labels[row, : int(b.lengths[row])].tolist():
        while reads and (len(heard) + 1 - len(reads)) < written + k:
            state = model.read(torch.from_numpy(reads.pop(0))[None].double(), state)
        scores, _, state = model.write(torch.tensor([previous]), state)
        loss -= float(scores.log_softmax(-1)[0, piece])
        previous, written = piece, written + fakes.vocabulary().ends_word[piece]
    return loss


@pytest.mark.parametrize("k", [1, 2, FULL])
def test_the_objective_is_what_a_session_would_lose(k: int) -> None:
    b, made = batch(), objective()
    waits = torch.tensor([k, 2, k])
    with torch.no_grad():
        loss, plain = made.eval()(b.mel.double(), b.frames, b.labels, waits)
        expected = sum(one_by_one(made.model, b, i, int(waits[i])) for i in range(3))
    assert float(plain) == pytest.approx(expected, rel=1e-5) and loss == plain


def test_each_word_is_one_read_and_the_end_another() -> None:
    b = batch()
    states, unit = objective().hear(b.mel.double(), b.frames)
    assert states.shape[:2] == unit.shape and states.shape[2] == fakes.HEARD.dim
    for row, numbers in zip(states, unit.tolist(), strict=True):
        real = [n for n in numbers if n < NEVER_READ]
        assert real == sorted(real) and set(real) == set(range(real[-1] + 1))
        assert not row[len(real) - 1].any() and all(row[i].any() for i in range(len(real) - 1))
    assert max(n for n in unit[0].tolist() if n < NEVER_READ) > 5


def test_where_nothing_is_heard_the_end_alone_is_read() -> None:
    b, made = batch(), objective().eval()
    made.recognizer = copy.deepcopy(made.recognizer)
    made.recognizer.output.bias[BLANK] = 1e3
    states, unit = made.hear(b.mel.double(), b.frames)
    assert unit.tolist() == [[0]] * 3 and not states.any()
    _, plain = made(b.mel.double(), b.frames, b.labels, torch.tensor([1, 2, 3]))
    assert plain.isfinite()


def test_the_recogniser_stays_as_it_is() -> None:
    b, made = batch(), objective(0.1).train()
    before = {n: w.clone() for n, w in made.recognizer.state_dict().items()}
    assert made.model.training and not made.recognizer.training
    loss, plain = made(b.mel.double(), b.frames, b.labels, torch.tensor([1, 2, 3]))
    loss.backward()
    assert loss != plain and all(p.grad is None for p in made.recognizer.parameters())
    assert made.model.input is not None and made.model.input.weight.grad is not None
    assert made.model.input.weight.grad.any()
    assert all(torch.equal(w, before[n]) for n, w in made.recognizer.state_dict().items())


def test_shifted_begins_with_bos() -> None:
    assert shifted(torch.tensor([[5, EOS, PAD]])).tolist() == [[BOS, 5, EOS]]


def test_the_loss_falls_where_the_sound_tells_the_sentence() -> None:
    """And another's sound does not help: it learns from what it hears."""
    b, made = batch(), objective()
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(made.model.parameters(), lr=5e-3)
    inputs = (b.frames, b.labels, torch.tensor([FULL, FULL, FULL]))
    for _ in range(40):
        loss, _ = made(b.mel.double(), *inputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    own = float(made(b.mel.double(), *inputs)[1])
    others = float(made(b.mel.double().roll(1, 0), b.frames.roll(1, 0), *inputs[1:])[1])
    assert own < 10 and others > own + 10


# --- a run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a finished text model and a finished recogniser, and recordings."""
    folder = tmp_path_factory.mktemp("runs")
    text, heard = fakes.model(made=Model), fakes.recognizer()
    checkpoint.save(
        folder / "text" / "averaged", text.config, fakes.vocabulary(), text.state_dict()
    )
    speech = (heard.config, fakes.spoken_vocabulary(), heard.state_dict())
    checkpoint.save(folder / "heard" / "averaged", *speech)
    lines = ["id\tpath\tseconds\ttext"]
    for i, line in enumerate(sentences(30, seed=4, longest=4)):
        soundfile.write(folder / f"{i}.wav", fakes.noise(0.6, i), 16_000)
        lines.append(f"{i}\t{i}.wav\t0.6\t{line}")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def through(runs: Path) -> Trainer:
    """A run that went through."""
    trainer = Trainer(RECIPE, runs, runs / "through")
    assert trainer.run() == runs / "through" / "averaged"
    return trainer


def journal(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_it_begins_with_the_text_model_and_differs_as_the_recipe_says(runs: Path) -> None:
    trainer = Trainer(RECIPE, runs, runs / "fresh")
    text, vocabulary = checkpoint.load(runs / "text" / "averaged")
    ours, theirs = trainer.model.state_dict(), text.state_dict()
    assert set(ours) - set(theirs) == {"input.weight", "input.bias"}
    assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())
    assert trainer.config == replace(text.config, name="direct", dropout=0.1, states=16)
    assert trainer.vocabulary.model == vocabulary.model


def test_recordings_have_the_text_models_translations(runs: Path, through: Trainer) -> None:
    lines = (through.folder / "translations.tsv").read_text().splitlines()
    first = sentences(30, seed=4, longest=4)[0].rstrip(".")
    assert f"{first[0].upper()}{first[1:]}." in [line.split("\t")[0] for line in lines]
    corpus = through.task.corpus  # type: ignore[attr-defined]
    plan = corpus.plan(0)
    labels = corpus.batch(plan, np.arange(len(plan.rows))).labels
    found = dict(line.split("\t") for line in lines)
    for row, ids in zip(plan.rows, labels.tolist(), strict=True):
        text = plan.source.transcripts[row]
        expected = found[f"{text[0].upper()}{text[1:]}."]
        assert ids[ids.index(EOS) :] == [EOS] + [PAD] * (len(ids) - ids.index(EOS) - 1)
        assert fakes.vocabulary().decode(ids[: ids.index(EOS)]).split() == expected.split()


def test_the_journal_tells_the_loss_for_each_k(through: Trainer) -> None:
    dev = [line for line in journal(through.folder) if "manifest.tsv wait-3" in line]
    assert [line["step"] for line in dev] == [2, 4, 6]
    for name in ("wait-1", "wait-7", "full"):
        assert dev[-1][f"manifest.tsv {name}"] < dev[0][f"manifest.tsv {name}"]
    assert any(line.get("sound", 0) > 6 for line in journal(through.folder))


def test_what_was_trained_is_served(runs: Path, through: Trainer) -> None:
    """With the recogniser it was trained with, which the run has kept and not changed."""
    for name in ("averaged", "step-6"):
        kept = load_file(through.folder / name / "recognizer" / "model.safetensors")
        theirs = load_file(runs / "heard" / "averaged" / "model.safetensors")
        assert kept.keys() == theirs.keys()
        assert all(torch.equal(kept[n], theirs[n]) for n in theirs)
    engine = load_engine(str(through.folder / "averaged"), device="cpu", max_sessions=2)
    assert engine.kinds == ("audio",) and engine.model.states == 16
    session = engine.open("wait-2", rate=16_000)
    listener = session.listener
    assert listener is not None
    engine._hearing._detector = fakes.Loudness().float()  # type: ignore[union-attr]
    events = fakes.speak(engine, session, Audio(fakes.pcm(fakes.noise(1.0))), End())
    assert isinstance(events[-1], Done) and len([e for e in events if isinstance(e, Source)]) > 2


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(runs: Path, through: Trainer) -> None:
    folder = runs / "stopped"
    resumed = stopped(RECIPE, runs, folder)
    assert [p.name for p in resumed.checkpoints()] == ["step-2"]
    resumed.run(resume=True)
    assert_alike(*(t.folder / "step-6" for t in (resumed, through)))


def test_a_sentence_is_translated_as_its_first_target(tmp_path: Path) -> None:
    lines = ["hello there.\tbonjour.", "hello there.\tsalut.", "@ home\tà la maison", "no\tnon"]
    (tmp_path / "a.tsv").write_text("\n".join(lines) + "\n")
    source = SpokenText.read(tmp_path, Speech(text="a.tsv"), "en")
    pairs = zip(source.transcripts, source.translations, strict=True)
    assert list(pairs) == [("hello there", "bonjour."), ("no", "non")]


# --- what is refused ------------------------------------------------------------------------------


def test_what_it_begins_with_must_be_there(runs: Path) -> None:
    for key in ("start", "recognizer"):
        recipe = replace(RECIPE, **{key: "nowhere"})
        with pytest.raises(ConfigError, match=r"no finished run in .*nowhere; no model 'nowhere'"):
            Trainer(recipe, runs, runs / f"no-{key}")
    with pytest.raises(ConfigError, match="needs `start`"):
        replace(RECIPE, start="")


def test_a_recogniser_of_another_language_is_refused(runs: Path) -> None:
    heard = replace(fakes.HEARD, language="zh")
    other = (heard, fakes.spoken_vocabulary(), fakes.recognizer().state_dict())
    checkpoint.save(runs / "chinese" / "averaged", *other)
    with pytest.raises(ConfigError, match="toy: chinese hears zh"):
        Trainer(replace(RECIPE, recognizer="chinese"), runs, runs / "misheard")


def test_the_shipped_recipe_is_one() -> None:
    recipe = load_recipe("en-fr-direct")
    assert isinstance(recipe, DirectRecipe) and recipe.start == "en-fr"
    heard, text = (
        json.loads((pretrained.find(name) / "config.json").read_text())
        for name in (recipe.recognizer, recipe.start)
    )
    values = {**text, **recipe.model, "states": heard["dim"]}
    config = build(ModelConfig, values, recipe.name)
    assert config.direct and config.name == "en-fr-direct" and config.source == "en"
    assert heard["language"] == "en" and recipe.steps > recipe.optimizer.warmup
    with pytest.raises(ConfigError, match="systems are of text"):
        load_recipe("en-fr-direct/wait-k")


def test_cross_entropy_is_torchs() -> None:
    """In a batch, with all READ: no k, no loop."""
    b, made = batch(), objective().eval()
    with torch.no_grad():
        states, unit = made.hear(b.mel.double(), b.frames)
        whole = (unit < NEVER_READ).sum(1, keepdim=True).expand_as(b.labels)
        logits = made.model.logits(made.model(states, shifted(b.labels), whole))
        expected = F.cross_entropy(
            logits.flatten(0, 1), b.labels.flatten(), ignore_index=PAD, reduction="sum"
        )
        _, plain = made(b.mel.double(), b.frames, b.labels, torch.full((3,), FULL))
    torch.testing.assert_close(plain.double(), expected, rtol=1e-5, atol=1e-5)
