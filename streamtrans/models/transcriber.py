"""One stream of speech from samples to words: features, recogniser and words, each with its own state.

It knows samples of 16 kHz and words. It does not know sessions or batches: the engine steps many rows together.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streamtrans.audio.features import HOP, LogMel
from streamtrans.audio.pcm import Samples
from streamtrans.models.ctc import CTCWords, HeardWord
from streamtrans.models.recognizer import Recognizer, best
from streamtrans.text.vocabulary import Vocabulary


class Transcriber:
    """Samples in any cutting give the same words; the state does not grow.

    Memory and time of a step depend on its samples only: long pieces are cut here.
    """

    def __init__(self, recognizer: Recognizer, vocabulary: Vocabulary) -> None:
        config = recognizer.config
        self._recognizer = recognizer
        device, self._dtype = recognizer.place()
        exact = torch.promote_types(self._dtype, torch.float32)  # no spectrum in half precision
        self._features = LogMel(config.mels).to(device, exact)
        self._most = HOP * config.subsampling * (config.piece - config.chunk)  # samples of a step
        self._words = CTCWords(vocabulary, config, config.language)
        self._mel = self._features.init_state(1)
        self._state = recognizer.init_state(1)

    @property
    def open(self) -> str:
        """The word that is not whole yet, as far as it was heard."""
        return self._words.open

    @torch.inference_mode()
    def feed(self, samples: Samples) -> list[HeardWord]:
        """The words that the next samples, (N,) from -1 to 1 at 16 kHz, complete."""
        words: list[HeardWord] = []
        for at in range(0, len(samples), self._most):
            piece = torch.from_numpy(samples[at : at + self._most]).to(*self._features.place())
            counts = self._features.counts(self._mel, len(piece))
            frames, self._mel = self._features.step(piece[None], self._mel)
            words += self._hear(frames[:, : int(counts)].to(self._dtype))
        return words

    @torch.inference_mode()
    def end(self) -> list[HeardWord]:
        """The rest, after the last samples: as if silence followed. Then the stream is over."""
        heard = self._recognizer.length(self._state)
        tail = self._recognizer.config.tail(int(heard))
        silence = torch.zeros(HOP * tail).numpy()
        return self.feed(silence) + self._words.flush()

    def _hear(self, frames: Tensor) -> list[HeardWord]:
        if not frames.shape[1]:
            return []
        counts = self._recognizer.counts(self._state, frames.shape[1])
        logits, self._state = self._recognizer.step(frames, self._state)
        return self._words.feed(best(logits[0, : int(counts)]).tolist())
