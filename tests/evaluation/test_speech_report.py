"""The report of speech: its figures are those of SimulEval and OmniSTEval, its error rates those of what was READ."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import fakes
import golden
import pytest
import sacrebleu
import spoken_sets
import torch

from streamtrans.evaluation.delays import DelayError, Delays
from streamtrans.evaluation.listen import listen
from streamtrans.evaluation.manifest import SpeechSet
from streamtrans.evaluation.own_reference import OWN, TextModel
from streamtrans.evaluation.simulate import Translation
from streamtrans.evaluation.speech_report import (
    cut_sentences,
    evaluate,
    latencies,
    measure,
    time_recordings,
)
from streamtrans.evaluation.speech_table import legend, markdown

TEXTS = ["one", "two", "three"]


def as_heard(folder: Path, made: object) -> SpeechSet:
    """A set whose texts are what the toy hears of it, so that nothing is wrong."""
    speech = made(folder, TEXTS)  # type: ignore[operator]
    heard = [t.source for t in listen(fakes.hearing_engine(), speech.recordings, "wait-1")]
    if speech.long:
        third = len(heard[0]) // 3
        heard = [heard[0][:third], heard[0][third : 2 * third], heard[0][2 * third :]]
    result = made(folder, [" ".join(words) for words in heard])  # type: ignore[operator]
    assert isinstance(result, SpeechSet)
    return result


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> SpeechSet:
    return as_heard(tmp_path_factory.mktemp("short"), spoken_sets.short)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> SpeechSet:
    return as_heard(tmp_path_factory.mktemp("long"), spoken_sets.long)


@pytest.mark.parametrize("policy", ["wait-1", "wait-3"])
def test_latency_of_short_recordings(short: SpeechSet, policy: str) -> None:
    report, translations = evaluate(fakes.hearing_engine(), short, policy)
    delays = [
        Delays(t.delays, r.ms, len(r.sentences[0].references[0].split()))
        for t, r in zip(translations, short.recordings, strict=True)
    ]
    for name in ("AL", "LAAL", "AP", "DAL", "ATD"):
        assert golden.agree(getattr(report, name.lower()), golden.simuleval(name, delays)), name
    theirs = golden.omnisteval_corpus(delays)
    assert golden.agree(report.yaal, theirs["yaal"]) and golden.agree(report.swf, theirs["swf"])
    assert (report.recordings, report.sentences, report.empty) == (3, 3, 0)
    assert report.audio == pytest.approx(sum(r.ms for r in short.recordings) / 1000)
    assert report.stream_laal is report.long_yaal is None and not report.long
    references = [list(s.references) for s in short.sentences]
    bleu = sacrebleu.corpus_bleu([t.text for t in translations], [[r[0] for r in references]])
    assert report.bleu == bleu.score


def test_latency_of_sentences_in_a_long_recording(long: SpeechSet) -> None:
    """Each with the words that were cut to it, from its own beginning; a word may come before its sentence."""
    report, (translation,) = evaluate(fakes.hearing_engine(), long, "wait-3")
    parts = cut_sentences(long.recordings[0], translation)
    assert [word for part in parts for word in part.target] == translation.target
    end = long.sentences[-1].end
    delays, lags, at = [], [], 0
    for sentence, part in zip(long.sentences, parts, strict=True):
        own = [d - sentence.begin for d in translation.delays[at : at + len(part.target)]]
        at += len(own)
        one = Delays(own, sentence.ms, len(sentence.references[0].split()))
        assert part.delays == one
        if own:
            delays.append(one)
            lags.append(golden.omnisteval(one, end - sentence.begin))
    assert len(delays) > 1 and report.empty == 3 - len(delays)
    assert golden.agree(report.stream_laal, golden.simuleval("LAAL", delays))
    known = [lag for lag in lags if lag is not None]
    assert golden.agree(report.long_yaal, sum(known) / len(known))
    assert report.al is report.laal is report.yaal is report.swf is report.degenerate is None
    bleu = sacrebleu.corpus_bleu(
        [" ".join(p.target) for p in parts], [[s.references[0] for s in long.sentences]]
    )
    assert report.bleu == bleu.score and report.long


def test_words_that_belong_to_a_later_sentence_than_they_were_written_in(long: SpeechSet) -> None:
    """By hand: cut along the references, and delays below 0 are kept."""
    begins = [sentence.begin for sentence in long.sentences]
    words = [word for s in long.sentences for word in s.references[0].split()]
    early = Translation(["x"], words, [begins[1] - 100.0] * len(words))
    parts = cut_sentences(long.recordings[0], early)
    assert [" ".join(p.target) for p in parts] == [s.references[0] for s in long.sentences]
    assert parts[1].delays.delays[0] == -100 and parts[2].delays.delays[0] < -1000
    scores = latencies(parts, long=True)
    assert golden.agree(scores["stream_laal"], golden.simuleval("LAAL", [p.delays for p in parts]))


def test_error_rates_are_of_what_was_read(short: SpeechSet, long: SpeechSet) -> None:
    """The same under every policy; a word that is another one counts once among all words."""
    engine = fakes.hearing_engine()
    for speech in (short, long):
        for policy in ("wait-1", "full"):
            report, _ = evaluate(engine, speech, policy)
            assert report.wer == report.cer == 0
    recording = short.recordings[0]
    (sentence,) = recording.sentences
    other = dataclasses.replace(sentence, transcript=f"{sentence.transcript} zzz")
    changed = dataclasses.replace(recording, sentences=(other,))
    speech = dataclasses.replace(short, recordings=(changed, *short.recordings[1:]))
    words = sum(len(r.transcript.split()) for r in speech.recordings)
    assert evaluate(engine, speech, "wait-1")[0].wer == pytest.approx(1 / words)


@pytest.mark.parametrize("kind", ["short", "long"])
def test_work_that_takes_no_time_leaves_the_latency_as_it_is(
    kind: str, request: pytest.FixtureRequest
) -> None:
    speech = request.getfixturevalue(kind)
    engine = fakes.hearing_engine()
    timings = time_recordings(engine, speech.recordings, "wait-2", clock=lambda: 0.0)
    parts = [
        part
        for recording, timing in zip(speech.recordings, timings, strict=True)
        for part in cut_sentences(recording, timing.translation, timing.times)
    ]
    scores = latencies(parts, speech.long)
    report, _ = evaluate(engine, speech, "wait-2")
    assert {name: getattr(report, name) for name in scores} == scores


def test_real_work_is_measured_on_one_thread(short: SpeechSet, long: SpeechSet) -> None:
    """Computing adds to every latency; the number of threads is as before."""
    threads = torch.get_num_threads()
    for speech, name in ((short, "laal"), (long, "stream_laal")):
        report, _ = evaluate(fakes.hearing_engine(), speech, "wait-2", timed=9)
        assert report.timed == len(speech.recordings)
        assert report.rtf and 0 < report.rtf
        assert 0 < (report.lag_p50 or 0) <= (report.lag_p95 or 0) <= (report.lag_p99 or 0)
        assert getattr(report, f"timed_{name}") == getattr(report, name)
        assert getattr(report, f"ca_{name}") > getattr(report, name)
    assert torch.get_num_threads() == threads


def test_a_set_without_translations_says_whose_they_are(short: SpeechSet) -> None:
    """Those that the text model writes of the true words with all the time there is; the table says so too."""
    text = TextModel(fakes.model(), fakes.vocabulary())
    assert text.with_references(short) is short
    bare = dataclasses.replace(short, reference="")
    given = text.with_references(bare)
    assert given.reference == OWN and len({s.references for s in given.sentences}) > 1
    assert text.ceiling(given).bleu == pytest.approx(100)
    report, _ = evaluate(fakes.hearing_engine(), given, "wait-3")
    records = [dataclasses.asdict(report)] * 2
    table = markdown(records)
    assert f"{report.bleu:.2f}\\*" in table and OWN in legend(records)
    assert table.count("0.0 |") < 4, "error rates stand once"
    assert OWN not in legend(
        [dataclasses.asdict(evaluate(fakes.hearing_engine(), short, "full")[0])]
    )


def test_silence_from_the_engine_is_named(short: SpeechSet) -> None:
    nothing = [Translation() for _ in short.recordings]
    with pytest.raises(DelayError, match="every hypothesis is empty"):
        measure(fakes.engine(), short, "wait-1", nothing, 100.0, 1.0)
