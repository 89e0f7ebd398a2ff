"""Delays in ms of audio: those of a client that sends pieces, whatever company a recording has."""

from __future__ import annotations

import fakes
import pytest
import spoken_sets

from streamtrans.engine import SessionError
from streamtrans.evaluation.listen import listen, pieces
from streamtrans.evaluation.manifest import SpeechSet
from streamtrans.evaluation.simulate import SimulationError
from streamtrans.evaluation.timing import time_stream
from streamtrans.messages import Audio, End, Target
from streamtrans.policy import PolicyError


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> SpeechSet:
    return spoken_sets.short(tmp_path_factory.mktemp("short"), ["one", "two", "three"])


def test_pieces_are_the_recording(speech: SpeechSet) -> None:
    """The last one is shorter and brings the end; arrivals are its audio so far."""
    recording = speech.recordings[1]
    arrivals = pieces(recording, 320)
    sound = [c.data for a in arrivals for c in a.commands if isinstance(c, Audio)]
    assert b"".join(sound) == recording.pcm()
    assert [len(data) for data in sound[:-1]] == [2 * 5120] * (len(sound) - 1)
    assert [a.ms for a in arrivals[:2]] == [320, 640] and arrivals[-1].ms == recording.ms
    assert [a for a in arrivals if End() in a.commands] == arrivals[-1:]
    with pytest.raises(ValueError, match="longer than 0"):
        pieces(recording, 0)


@pytest.mark.parametrize("policy", ["wait-1", "wait-3", "full"])
def test_delays_are_what_was_taken_in(speech: SpeechSet, policy: str) -> None:
    """At most a piece more than what the engine says it had of the word that was READ last; all at the end for one
    piece."""
    engine = fakes.hearing_engine()
    for recording, translation in zip(
        speech.recordings, listen(engine, speech.recordings, policy), strict=True
    ):
        session, taken, said = engine.open(policy, rate=recording.rate), [], []
        for arrival in pieces(recording):
            for command in arrival.commands:
                engine.feed(session, command)
            events = fakes.run(engine).get(session, [])
            words = [e for e in events if isinstance(e, Target)]
            taken += [arrival.ms] * len(words)
            said += [e.at for e in words]
        assert translation.delays == taken == sorted(taken) and len(taken) > 2
        assert all(at <= delay for at, delay in zip(said, taken, strict=True))
        assert taken[-1] <= recording.ms
    (whole,) = listen(engine, speech.recordings[:1], policy, piece=1e5)
    assert set(whole.delays) == {speech.recordings[0].ms}


def test_company_and_cutting_do_not_show(speech: SpeechSet) -> None:
    """One slot or four, alone on a clock or together: the same words at the same time. Other pieces: the same words."""
    together = listen(fakes.hearing_engine(4), speech.recordings, "wait-2")
    assert listen(fakes.hearing_engine(1, 1), speech.recordings, "wait-2") == together
    engine = fakes.hearing_engine()
    for recording, translation in zip(speech.recordings, together, strict=True):
        timing = time_stream(engine, pieces(recording), "wait-2", lambda: 0.0, recording.rate)
        assert timing.translation == translation
        assert timing.times == timing.at == translation.delays
        assert timing.source_ms == recording.ms
    cut = listen(engine, speech.recordings, "wait-2", piece=70)
    assert [(t.source, t.target) for t in cut] == [(t.source, t.target) for t in together]


def test_what_cannot_be_meant_leaves_no_session_open(speech: SpeechSet) -> None:
    engine = fakes.hearing_engine()
    with pytest.raises(PolicyError):
        listen(engine, speech.recordings, "soon")
    with pytest.raises(SessionError, match="recogniser"):
        listen(fakes.engine(), speech.recordings, "wait-1")

    def step(*arguments: object) -> None:
        raise RuntimeError("broken")

    engine._hearing.step = step  # type: ignore[union-attr, assignment, method-assign]
    with pytest.raises(SimulationError, match="internal"):
        listen(engine, speech.recordings, "wait-1")
    assert engine.sessions == 0
    engine.open("wait-1")
    with pytest.raises(SimulationError, match="1 sessions"):
        listen(engine, speech.recordings, "wait-1")
