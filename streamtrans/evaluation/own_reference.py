"""What the text model makes of what was really said: the reference of recordings that nobody has translated.

Against it a system that hears shows what hearing and haste cost it; how good the text model is, it does not show.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamtrans.evaluation.full_sentence import translate
from streamtrans.evaluation.manifest import SpeechSet
from streamtrans.evaluation.quality import Quality, score
from streamtrans.models.model import Model
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.transcript import heard

OWN = "own full-sentence translation of the true transcript"
BEAM = 4


@dataclass(frozen=True)
class TextModel:
    """A text model beside the engine, which searches whole sentences."""

    model: Model
    vocabulary: Vocabulary

    def translate(self, speech: SpeechSet) -> list[str]:
        """Each sentence of a set from its true transcript, as the engine has it READ where nothing is misheard."""
        language = self.model.config.source
        lines = [heard(sentence.transcript, language) for sentence in speech.sentences]
        return [t.text for t in translate(self.model, self.vocabulary, lines, BEAM)]

    def with_references(self, speech: SpeechSet) -> SpeechSet:
        """A set with references, its own ones if it has any."""
        if speech.reference:
            return speech
        return speech.with_references(self.translate(speech), OWN)

    def ceiling(self, speech: SpeechSet) -> Quality:
        """Full-sentence quality from the true transcripts, against the references of the set: what hearing cannot
        exceed by much. Raises QualityError without references."""
        return score(self.translate(speech), [s.references for s in speech.sentences])
