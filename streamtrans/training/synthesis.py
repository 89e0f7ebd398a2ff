"""Speech from text, made while a model trains: sentences in many voices, with the time of each word.

It runs espeak-ng 1.52 in process, from the package `espeakng-loader` (extra `speech-training`). espeak-ng is under the
GPL-3: it is a tool for making training data, never a part of what is served, and nothing outside training/ imports this
file. It knows text, voices and samples of 16 kHz. It does not know noise or rooms (`augmentation.py`) or models.

The library keeps things between sentences in variables of its own, so the second time a sentence comes out some samples
longer. To make a sentence depend on nothing but itself the library is unloaded and loaded for each: 0.4 ms, and the
dictionary read again.
"""

from __future__ import annotations

import _ctypes
import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from streamtrans.audio.pcm import Samples
from streamtrans.audio.resample import RATE

ACCENTS = {
    "en": (
        "en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc",
    ),
    "zh": ("cmn",),
}  # fmt: skip
RATES = {"en": (130, 230), "zh": (160, 250)}  # words a minute, as the library counts them
VARIANTS = (
    "f1", "f2", "f3", "f5", "m1", "m2", "m3", "m4", "m5", "m7", "m8", "adam", "Alex", "Alicia", "Andrea", "Andy",
    "Annie", "antonio", "belinda", "benjamin", "caleb", "david", "Denis", "ed", "edward", "Gene", "grandma", "grandpa",
    "Henrique", "Hugo", "ian", "Jacky", "john", "klatt", "klatt2", "klatt3", "klatt4", "Lee", "linda", "Marco", "max",
    "miguel", "Mike", "norbert", "pablo", "paul", "quincy", "Reed", "rob", "sandro", "shelby", "steph", "travis",
    "victor", "zac",
)  # fmt: skip
HELD_OUT = (
    "f4",
    "m6",
    "aunty",
    "boris",
    "anika",
    "Michael",
    "steph2",
    "robert",
)  # for scores, never for training
# a Chinese character or a word, with the punctuation behind it
UNIT = re.compile(r"[\u3400-\u9fff][^\w\s]*|[^\s\u3400-\u9fff]+")
# xiong, qiong, jiong: espeak-ng 1.52 has no such syllables and spells them out in English
MISREAD = re.compile("[兄凶匈汹胸雄熊芎穷琼茕穹跫炯窘迥]")

_RETRIEVAL, _DONT_EXIT = 2, 0x8000  # synchronous, samples to a callback; errors are returned
_RATE, _PITCH, _RANGE = 1, 3, 4
_CHARACTERS, _UTF8 = 1, 1
_WORD = 1  # type of an event


class SynthesisError(RuntimeError):
    """espeak-ng is not installed, or refuses a voice or a text."""


@dataclass(frozen=True)
class Voice:
    """name: of espeak-ng, accent+variant; rate: words a minute; pitch, range: 0 to 99, 50 is the voice's own."""

    name: str
    rate: int = 175
    pitch: int = 50
    range: int = 50

    @classmethod
    def draw(cls, language: str, rng: np.random.Generator, held_out: bool = False) -> Voice:
        """Any accent, variant, rate and pitch of a language (en, zh). held_out: of the variants kept for scores."""
        if language not in ACCENTS:
            raise SynthesisError(f"no voices for {language!r}; known are {', '.join(ACCENTS)}")
        accent = rng.choice(ACCENTS[language])
        variant = rng.choice(HELD_OUT if held_out else VARIANTS)
        rate = int(rng.integers(*RATES[language], endpoint=True))
        pitch, spread = (int(rng.integers(25, 75, endpoint=True)) for _ in range(2))
        return cls(f"{accent}+{variant}", rate, pitch, spread)


@dataclass(frozen=True)
class SpokenWord:
    """A word or a Chinese character, with its punctuation; begin, end: seconds."""

    text: str
    begin: float
    end: float


@dataclass(frozen=True)
class Utterance:
    """samples: (N,) at 16 kHz, from -1 to 1; words in the order of the text, times never falling."""

    samples: Samples
    words: tuple[SpokenWord, ...]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / RATE


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Synthesizer:
    """espeak-ng in this process, one sentence at a time. The same text and voice give the same samples, always.

    Raises SynthesisError where espeakng-loader is not installed.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise SynthesisError(
                "espeakng-loader is not installed: pip install streamtrans[speech-training]"
            ) from error
        self._path = espeakng_loader.get_library_path()
        self._voices = espeakng_loader.get_data_path().encode()
        self._pieces: list[NDArray[np.int16]] = []
        self._events: list[tuple[int, int, int]] = []
        self._callback = _Callback(self._receive)  # kept here: the library holds a bare pointer

    def speak(self, text: str, voice: Voice) -> Utterance:
        """One sentence. Raises SynthesisError for a voice that does not exist and a text that makes no sound."""
        library = ctypes.CDLL(self._path)
        try:
            rate = self._start(library, voice)
            data = text.encode()
            self._pieces, self._events = [], []
            if library.espeak_Synth(data, len(data) + 1, 0, _CHARACTERS, 0, _UTF8, None, None):
                raise SynthesisError(f"espeak-ng cannot speak {text!r}")
        finally:
            library.espeak_Terminate()
            _ctypes.dlclose(library._handle)
        if not any(kind == _WORD for kind, _, _ in self._events):
            raise SynthesisError(f"{text!r} makes no sound")
        samples = np.concatenate(self._pieces).astype(np.float32) / np.float32(32768)
        words = spoken_words(text, self._events, samples, rate)
        return Utterance(soxr.resample(samples, rate, RATE).clip(-1, 1), words)

    def _start(self, library: ctypes.CDLL, voice: Voice) -> int:
        """Load, choose the voice; samples a second."""
        rate: int = library.espeak_Initialize(_RETRIEVAL, 0, self._voices, _DONT_EXIT)
        if rate <= 0:
            raise SynthesisError("espeak-ng does not start: is its data folder complete?")
        library.espeak_SetSynthCallback(self._callback)
        if library.espeak_SetVoiceByName(voice.name.encode()):
            raise SynthesisError(f"espeak-ng has no voice {voice.name!r}")
        for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.range)):
            library.espeak_SetParameter(parameter, value, 0)
        return rate

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type:
            self._events.append((events[i].type, events[i].text_position, events[i].sample))
            i += 1
        return 0


def spoken_words(
    text: str, events: Sequence[tuple[int, int, int]], samples: Samples, rate: int
) -> tuple[SpokenWord, ...]:
    """The time of each word of a text, from the library's events (type, position in the text from 1, sample).

    A word lasts until the next one begins, without the silence there. What has no event of its own is part of what is
    before it (Chinese words of several characters, "of the"): they share its time by letters; a dash has none.
    """
    units = [unit.span() for unit in UNIT.finditer(text)]
    begins: dict[int, int] = {}
    for kind, position, sample in events:
        for i, (start, end) in enumerate(units):
            if kind == _WORD and start < position <= end:
                begins.setdefault(i, sample)
    begins.setdefault(0, 0)  # a dash before the first word
    words: list[SpokenWord] = []
    groups = [*sorted(begins), len(units)]
    for first, after in pairwise(groups):
        begin = begins[first]
        end = _sounds_until(samples, begin, begins.get(after, len(samples)))
        texts = [text[slice(*units[i])] for i in range(first, after)]
        shares = [sum(map(str.isalnum, one)) for one in texts]
        done, share = 0, (end - begin) / max(1, sum(shares))
        for one, size in zip(texts, shares, strict=True):
            times = begin + done * share, begin + (done + size) * share
            words.append(SpokenWord(one, times[0] / rate, times[1] / rate))
            done += size
    return tuple(words)


def _sounds_until(samples: Samples, begin: int, end: int) -> int:
    """Where the last sound between two samples is over: nothing after it is within 40 dB of the loudest."""
    loudness = np.abs(samples[begin:end])
    heard = np.flatnonzero(loudness > 0.01 * loudness.max(initial=0))
    return begin + int(heard[-1]) + 1 if len(heard) else begin
