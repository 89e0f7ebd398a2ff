"""Two lines of translation on a terminal, with the level of the microphone and the state of the connection.

This file knows how a terminal and a plain file look. It does not know sessions or devices.
"""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text as Styled

from streamtrans.messages import Draft, Event, Segment, Source, Target
from streamtrans_clients.captions import LINE
from streamtrans_clients.source_words import rest, sentence

REFRESHES = 12  # a second
BARS = "▁▂▃▄▅▆▇█"
QUIET = -60.0  # dB, the left end of the meter
CELLS = 20  # of the meter
NOTHING = Draft((), ())


class LiveCaptions:
    """`with LiveCaptions(console) as captions:` then `show` events and tell it the level and what happens.

    On a terminal the last two lines roll up, and of a draft what fits stands dimmed behind them; elsewhere each segment
    is a plain line, without control codes.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: list[str] = [""]
        self._segment: list[str] = []
        self._source: list[str] = []
        self._draft = NOTHING
        self._levels = [QUIET] * CELLS
        self._state = "connecting"
        self._live: Live | None = None

    def __enter__(self) -> LiveCaptions:
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._picture, refresh_per_second=REFRESHES
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_segment()
        if self._live is not None:
            self._live.stop()

    def show(self, event: Event) -> None:
        """A word that was READ or committed, what may follow it, or the end of a segment."""
        if isinstance(event, Draft):
            self._draft = event
            return
        self._draft = rest(self._draft, event)
        if isinstance(event, Source):
            self._source.append(_printable(event.text))
        elif isinstance(event, Target):
            self._word(_printable(event.text))
        elif isinstance(event, Segment):
            self._close_segment()

    def level(self, decibels: float) -> None:
        """How loud the last frame was, below full scale."""
        self._levels = [*self._levels[1:], decibels]

    def state(self, text: str) -> None:
        """What the connection and the microphone do."""
        self._state = text
        if self._live is None:
            self._console.print(Styled(f"[{text}]"), soft_wrap=True)

    def _word(self, word: str) -> None:
        self._segment.append(word)
        last = self._lines[-1]
        longer = sentence([last, word]).strip()
        if last and len(longer) > LINE:
            self._lines = [last, word]
        else:
            self._lines[-1] = longer

    def _close_segment(self) -> None:
        if self._segment and self._live is None:
            self._console.print(Styled(sentence(self._segment)), soft_wrap=True)
        self._segment, self._source = [], []

    def _picture(self) -> RenderableType:
        picture = Styled()
        picture.append(sentence(self._source[-12:]), style="dim")
        heard = sentence(map(_printable, self._draft.source))
        picture.append(f" {heard}\n" if heard else "\n", style="dim italic")
        above, last = ["", *self._lines][-2:]
        picture.append(f"{above}\n{last}", style="bold")
        picture.append(self._ahead(last) + "\n", style="dim")
        picture.append("".join(map(_bar, self._levels)), style="green")
        picture.append(f" {max(self._levels[-3:]):4.0f} dB  ", style="dim")
        picture.append(self._state, style="dim")
        return picture

    def _ahead(self, line: str) -> str:
        """The words of the draft that fit behind this line: what is committed does not move for them."""
        longer = line
        for word in self._draft.target:
            more = sentence([longer, _printable(word)])
            if len(more) > LINE:
                break
            longer = more
        return longer[len(line) :]


def _bar(decibels: float) -> str:
    share = (max(decibels, QUIET) - QUIET) / -QUIET
    return BARS[min(len(BARS) - 1, int(share * len(BARS)))]


def _printable(text: str) -> str:
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
