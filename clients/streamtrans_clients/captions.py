"""Subtitles in SubRip (SRT) and WebVTT, written while the session goes on.

This file knows lines, cues and both file formats. It does not know sessions: words come as events, and the place of the
last source word READ, in ms, is theirs: where it was spoken, or its `at`. A cue is written once, whole, and never
revised, so a file is valid after each of them, whatever happens next. The web page has the same rules in `captions.js`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from streamtrans.messages import Done, Event, Segment, Source, Target
from streamtrans_clients.source_words import sentence

LINE = 42  # characters of a line
LINES = 2  # of a cue
LINGER = 1000.0  # ms a cue stays after its last word was heard
PAUSE = 2000.0  # ms without a word that end a cue
SHORTEST = 1000.0  # ms of a cue
READING = 25.0  # characters a second: nobody reads faster


@dataclass(frozen=True)
class Cue:
    """One or two lines, from `start` to `end`, in ms of the source clock."""

    number: int  # from 1
    start: float
    end: float
    lines: tuple[str, ...]


class Cues:
    """Words with their times become cues, each as soon as it is known to be full.

    A cue ends with its segment, with a pause, or when a further word would not fit. It begins when its first
    word was heard, but never before the cue before it has ended.
    """

    def __init__(self) -> None:
        self._words: list[str] = []
        self._first = self._last = 0.0  # ms, when the open cue's words were heard
        self._end = 0.0  # ms, of the last closed cue
        self._number = 0

    def word(self, text: str, at: float) -> list[Cue]:
        """The cues that this word closes: those before it. `at` in ms; `text` without white space."""
        closed: list[Cue] = []
        for part in _parts(text):
            full = len(_filled([*self._words, part])) > LINES
            if self._words and (full or at - self._last > PAUSE):
                closed += self._close(at)
            if not self._words:
                self._first = at
            self._words.append(part)
            self._last = at
        return closed

    def segment(self) -> list[Cue]:
        """The sentence is over, and so is its cue."""
        return self._close(self._last + LINGER) if self._words else []

    def _close(self, next_at: float) -> list[Cue]:
        lines = balanced(self._words)
        start = max(self._first, self._end)
        shortest = max(SHORTEST, 1000 * sum(map(len, lines)) / READING)
        self._end = max(start + shortest, min(self._last + LINGER, next_at))
        self._number += 1
        self._words = []
        return [Cue(self._number, start, self._end, lines)]


def balanced(words: Sequence[str]) -> tuple[str, ...]:
    """The words in one line where they fit, else in two lines as alike in length as can be."""
    lines = _filled(words)
    if len(lines) != LINES:
        return tuple(lines)
    cuts = [(sentence(words[:i]), sentence(words[i:])) for i in range(1, len(words))]
    fitting = [cut for cut in cuts if max(map(len, cut)) <= LINE]
    return min(fitting, key=lambda cut: abs(len(cut[0]) - len(cut[1])))


def _filled(words: Sequence[str]) -> list[str]:
    """Lines filled from the left, none longer than LINE."""
    lines: list[str] = []
    for word in words:
        longer = sentence([lines[-1], word]) if lines else word
        if lines and len(longer) <= LINE:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _parts(text: str) -> list[str]:
    """A word without control characters, cut where it is longer than a line."""
    clean = "".join(c for c in text if ord(c) >= 32 and not 127 <= ord(c) < 160)
    return [clean[i : i + LINE] for i in range(0, len(clean), LINE)]


def srt(cue: Cue) -> str:
    """A cue of a SubRip file with the empty line after it."""
    times = f"{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}"
    return "\n".join((str(cue.number), times, *cue.lines, "", ""))


def vtt(cue: Cue) -> str:
    """A cue of a WebVTT file with the empty line after it (W3C WebVTT, sections 4.1 and 4.2)."""
    times = f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}"
    lines = [
        line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for line in cue.lines
    ]
    return "\n".join((times, *lines, "", ""))


def _clock(ms: float, point: str) -> str:
    seconds, thousandths = divmod(round(ms), 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{point}{thousandths:03}"


Form = Literal[".srt", ".vtt"]
FORMATS: dict[str, tuple[str, Callable[[Cue], str]]] = {
    ".srt": ("", srt),
    ".vtt": ("WEBVTT\n\n", vtt),
}


class CaptionFile:
    """`with CaptionFile(path) as captions:` then `show` every event; the suffix names the format, or `form` does.

    Raises ValueError for a suffix that is neither .srt nor .vtt, FileExistsError rather than overwrite a file.
    """

    def __init__(
        self,
        path: str | Path,
        side: Literal["source", "target"] = "target",
        form: Form | None = None,
    ) -> None:
        path = Path(path)
        suffix = form or path.suffix.lower()
        if suffix not in FORMATS:
            raise ValueError(f"{path}: captions are .srt or .vtt")
        head, self._format = FORMATS[suffix]
        self._side: type[Source | Target] = Source if side == "source" else Target
        self._cues = Cues()
        self._heard: float | None = None  # ms, where the last word READ was spoken
        self._file = path.open("x", encoding="utf-8", newline="\n")
        self._file.write(head)
        self._file.flush()

    def show(self, event: Event) -> None:
        """Write what the event closes; it is in the file when this returns."""
        if isinstance(event, Source):
            self._heard = event.at if event.begin is None else event.begin
        if isinstance(event, self._side):
            at = event.at if self._heard is None else self._heard
            self._write(self._cues.word(event.text, at))
        elif isinstance(event, (Segment, Done)):
            self._write(self._cues.segment())

    def close(self) -> None:
        """Write the open cue too."""
        self._write(self._cues.segment())
        self._file.close()

    def _write(self, cues: Sequence[Cue]) -> None:
        for cue in cues:
            self._file.write(self._format(cue))
        if cues:
            self._file.flush()

    def __enter__(self) -> CaptionFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
