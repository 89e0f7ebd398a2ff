"""Full-sentence translation by beam search: what a model can do when nobody waits for its words.

Words are cut into segments, and pieces become words, exactly as in a live session under the policy `full`; only the
search is another. It knows no scores.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamtrans.engine import Session
from streamtrans.engine.source_queue import Limits
from streamtrans.evaluation.simulate import Translation
from streamtrans.messages import End, Text
from streamtrans.models.model import Model
from streamtrans.models.search import beam_search
from streamtrans.policy import Action, Full
from streamtrans.text.vocabulary import Vocabulary


def translate(
    model: Model, vocabulary: Vocabulary, sentences: Sequence[str], width: int
) -> list[Translation]:
    """Translate each sentence, its segments one after another; every word has the delay |X|, in source words."""
    sessions = [_session(model, vocabulary, sentence) for sentence in sentences]
    while live := [session for session in sessions if session.action() is not None]:
        segments = [_read_segment(session) for session in live]
        for session, pieces in zip(live, beam_search(model, segments, width), strict=True):
            _write_segment(session, pieces)
    return [_translation(session) for session in sessions]


def _session(model: Model, vocabulary: Vocabulary, sentence: str) -> Session:
    limits = Limits(model.config.words, model.config.memory)
    session = Session(0, Full(), vocabulary, model.config.target, limits)
    session.feed(Text(sentence))
    session.feed(End())
    return session


def _read_segment(session: Session) -> list[int]:
    pieces: list[int] = []
    while session.action() is Action.READ:
        pieces += session.take_read()
    return pieces[:-1]  # the end is the search's to add


def _write_segment(session: Session, pieces: list[int]) -> None:
    for piece in (*pieces, session.vocabulary.eos):
        session.wrote(piece)
        if (
            session.fresh
        ):  # the segment is over: with its end, or because no more words can be meant
            return


def _translation(session: Session) -> Translation:
    translation = Translation()
    for event in session.take_events():
        translation.take(event)
    translation.delays = [len(translation.source)] * len(translation.target)
    return translation
