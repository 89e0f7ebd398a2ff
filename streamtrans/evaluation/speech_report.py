"""Quality and latency of a system that hears, under one policy, on one set of recordings.

The engine hears a recording as a whole. Scores are of sentences: what a long recording became is cut along its
reference first (`resegment.py`). All times are ms of audio.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TypedDict

import torch

from streamtrans.engine import Engine
from streamtrans.evaluation.delays import DelayError, Delays
from streamtrans.evaluation.erasure import normalized_erasure
from streamtrans.evaluation.latency import corpus_latency, stream_laal
from streamtrans.evaluation.listen import PIECE, listen, pieces
from streamtrans.evaluation.manifest import Recording, Sentence, SpeechSet, spread
from streamtrans.evaluation.quality import score
from streamtrans.evaluation.recognition import character_error_rate, word_error_rate
from streamtrans.evaluation.resegment import cut
from streamtrans.evaluation.simulate import Translation, require_free
from streamtrans.evaluation.timing import Clock, Timing, cost_of, now, time_stream
from streamtrans.evaluation.token_delay import SPEECH
from streamtrans.evaluation.yaal import long_yaal, simultaneity
from streamtrans.training.transcript import transcript


@dataclass(frozen=True)
class SpeechReport:
    """Recognition: wer, cer of the source words that were READ, over all recordings, as a transcript is written; they
    are the same under every policy. Quality: bleu, chrf of detokenised, cased text against `reference`, which says
    whose translation that is.

    Latency in ms of audio, ap a share. Recordings of one sentence: al, laal, dal, atd (words of 300 ms, as SimulEval
    takes them), yaal. Long ones (`long`): stream_laal, long_yaal. None where it does not apply.
    ne: target words taken back per final word. swf, efsw, degenerate: as in a report of text; None for long ones.

    recordings, sentences, audio: s of all; words: target words committed; empty: sentences without any, which the
    latency leaves out; piece: ms of audio that arrive at once; seconds: wall time of the simulation, all at once.

    Computation-aware (None unless asked for), over `timed` recordings spread over the set, each in a session alone on
    one thread: ca_... as those without, and timed_... those without of the same recordings, to compare with; lag_p50 to
    lag_p99 the ms that computing adds to a word; rtf: s of computing per s of audio.
    """

    test: str
    model: str
    policy: str
    recordings: int
    sentences: int
    audio: float
    words: int
    empty: int
    reference: str
    wer: float
    cer: float
    bleu: float
    chrf: float
    long: bool
    al: float | None
    laal: float | None
    ap: float | None
    dal: float | None
    atd: float | None
    yaal: float | None
    stream_laal: float | None
    long_yaal: float | None
    ne: float | None
    swf: float | None
    efsw: float | None
    degenerate: bool | None
    piece: float
    seconds: float
    signature: str
    chrf_signature: str
    timed: int = 0
    ca_al: float | None = None
    ca_laal: float | None = None
    ca_ap: float | None = None
    ca_dal: float | None = None
    ca_atd: float | None = None
    ca_yaal: float | None = None
    ca_stream_laal: float | None = None
    ca_long_yaal: float | None = None
    timed_al: float | None = None
    timed_laal: float | None = None
    timed_yaal: float | None = None
    timed_stream_laal: float | None = None
    timed_long_yaal: float | None = None
    lag_p50: float | None = None
    lag_p95: float | None = None
    lag_p99: float | None = None
    rtf: float | None = None


class Latencies(TypedDict):
    """Of a report."""

    al: float | None
    laal: float | None
    ap: float | None
    dal: float | None
    atd: float | None
    yaal: float | None
    stream_laal: float | None
    long_yaal: float | None


@dataclass(frozen=True)
class Part:
    """What was written for one sentence. delays, and end of the recording's last sentence: from its beginning."""

    sentence: Sentence
    target: tuple[str, ...]
    delays: Delays
    end: float


def evaluate(
    engine: Engine, speech: SpeechSet, policy: str, *, timed: int = 0, piece: float = PIECE
) -> tuple[SpeechReport, list[Translation]]:
    """Hear, translate, score, and give the translations of the recordings as well.

    timed: so many recordings, spread over the set, are heard once more, one by one, for the computation-aware figures
    (simulated: it takes no longer than the computing). Raises SessionError where the engine does not hear, PolicyError,
    ManifestError, QualityError for sentences without a reference, DelayError if nothing was translated.
    """
    started = time.perf_counter()
    translations = listen(engine, speech.recordings, policy, piece)
    seconds = time.perf_counter() - started
    report = measure(engine, speech, policy, translations, piece, seconds)
    if timed:
        some = spread(speech.recordings, timed)
        report = _with_clock(report, some, time_recordings(engine, some, policy, piece))
    return report, translations


def measure(
    engine: Engine,
    speech: SpeechSet,
    policy: str,
    translations: Sequence[Translation],
    piece: float,
    seconds: float,
) -> SpeechReport:
    """The report of translations that are there already, as `evaluate` makes it; raises what it raises."""
    pairs = zip(speech.recordings, translations, strict=True)
    parts = [part for recording, t in pairs for part in cut_sentences(recording, t)]
    quality = score(
        [" ".join(part.target) for part in parts], [part.sentence.references for part in parts]
    )
    said = [recording.transcript for recording in speech.recordings]
    heard = [transcript(" ".join(t.source), engine.model.source) for t in translations]
    early = None if speech.long else simultaneity([part.delays for part in parts])
    words = sum(len(t.target) for t in translations)
    return SpeechReport(
        test=speech.name,
        model=engine.model.name,
        policy=policy,
        recordings=len(speech.recordings),
        sentences=len(parts),
        audio=sum(recording.ms for recording in speech.recordings) / 1000,
        words=words,
        empty=sum(not part.target for part in parts),
        reference=speech.reference,
        wer=word_error_rate(said, heard),
        cer=character_error_rate(said, heard),
        bleu=quality.bleu,
        chrf=quality.chrf,
        long=speech.long,
        **latencies(parts, speech.long),
        ne=normalized_erasure(sum(t.erased for t in translations), words),
        swf=early.swf if early else None,
        efsw=early.efsw if early else None,
        degenerate=early.degenerate if early else None,
        piece=piece,
        seconds=seconds,
        signature=quality.bleu_signature,
        chrf_signature=quality.chrf_signature,
    )


def cut_sentences(
    recording: Recording, translation: Translation, times: Sequence[float] | None = None
) -> list[Part]:
    """What was written for each sentence of a recording. times: t_i of each target word, in ms."""
    sentences = recording.sentences
    references = [sentence.references[0].strip().split(" ") for sentence in sentences]
    ends = cut(translation.target, references) if recording.long else [len(translation.target)]
    parts, begin = [], 0
    for sentence, reference, end in zip(sentences, references, ends, strict=True):
        part = slice(begin, end)
        delays = Delays(
            [delay - sentence.begin for delay in translation.delays[part]],
            sentence.ms,
            len(reference),
            None if times is None else [out - sentence.begin for out in times[part]],
        )
        last = sentences[-1].end - sentence.begin
        parts.append(Part(sentence, tuple(translation.target[part]), delays, last))
        begin = end
    return parts


def latencies(parts: Sequence[Part], long: bool) -> Latencies:
    """Mean over the sentences that have words, of t_i where there are times: the scores for long or for short
    recordings, and None for the others. Raises DelayError if no sentence has words.
    """
    if not long:
        short = corpus_latency([part.delays for part in parts], SPEECH)
        return Latencies(
            al=short.al,
            laal=short.laal,
            ap=short.ap,
            dal=short.dal,
            atd=short.atd,
            yaal=short.yaal,
            stream_laal=None,
            long_yaal=None,
        )
    written = [part for part in parts if part.target]
    if not written:
        raise DelayError("no sentence has delays: every hypothesis is empty")
    lengths = [(p.delays.times, p.delays.source_length, p.delays.reference_length) for p in written]
    pairs = zip(lengths, written, strict=True)
    lags = [lag for some, p in pairs if (lag := long_yaal(*some, p.end)) is not None]
    return Latencies(
        al=None,
        laal=None,
        ap=None,
        dal=None,
        atd=None,
        yaal=None,
        stream_laal=fmean(stream_laal(*some) for some in lengths),
        long_yaal=fmean(lags) if lags else None,
    )


def time_recordings(
    engine: Engine,
    recordings: Sequence[Recording],
    policy: str,
    piece: float = PIECE,
    clock: Clock = now,
) -> list[Timing]:
    """Each recording in a session alone, on one thread. The first one, or 5 s of it, is heard once more beforehand,
    unmeasured: first steps are slow. Raises what `listen` raises."""
    require_free(engine)
    with _one_thread():
        for recording in recordings[:1]:
            warm = pieces(recording, piece)[: 1 + int(5000 / piece)]
            time_stream(engine, warm, policy, clock, recording.rate)
        return [
            time_stream(engine, pieces(recording, piece), policy, clock, recording.rate)
            for recording in recordings
        ]


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _with_clock(
    report: SpeechReport, recordings: Sequence[Recording], timings: Sequence[Timing]
) -> SpeechReport:
    """Raises DelayError if nothing was translated of what was timed."""
    pairs = list(zip(recordings, timings, strict=True))
    parts = [part for r, t in pairs for part in cut_sentences(r, t.translation, t.times)]
    aware = latencies(parts, report.long)
    plain = latencies([p for r, t in pairs for p in cut_sentences(r, t.translation)], report.long)
    cost = cost_of(timings)
    return replace(
        report,
        ca_al=aware["al"],
        ca_laal=aware["laal"],
        ca_ap=aware["ap"],
        ca_dal=aware["dal"],
        ca_atd=aware["atd"],
        ca_yaal=aware["yaal"],
        ca_stream_laal=aware["stream_laal"],
        ca_long_yaal=aware["long_yaal"],
        timed_al=plain["al"],
        timed_laal=plain["laal"],
        timed_yaal=plain["yaal"],
        timed_stream_laal=plain["stream_laal"],
        timed_long_yaal=plain["long_yaal"],
        timed=len(timings),
        lag_p50=cost.lag_p50,
        lag_p95=cost.lag_p95,
        lag_p99=cost.lag_p99,
        rtf=cost.rtf,
    )
