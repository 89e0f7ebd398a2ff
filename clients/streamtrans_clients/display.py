"""Source and committed translation side by side as they come, each word above its lag.

This file knows how a terminal and a plain file look. It does not know sessions or clocks.
"""

from __future__ import annotations

from types import TracebackType

from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text as Styled

from streamtrans.messages import Draft, Segment
from streamtrans_clients.file import Timed
from streamtrans_clients.source_words import rest, sentence
from streamtrans_clients.summary import Summary

REFRESHES = 12  # a second
NOTHING = Draft((), ())


class Display:
    """`with Display(console, "en", "fr") as display:` then `show` each item and `finish`.

    On a terminal the open segment is redrawn (by rich's thread, so that a fast stream is not slowed
    by drawing) and a closed one stays above it; a draft stands dimmed behind its words. Elsewhere each
    closed segment is two plain lines, without control codes.
    """

    def __init__(self, console: Console, source: str, target: str) -> None:
        self._console = console
        self._names = source, target
        self._source: list[Timed] = []
        self._target: list[Timed] = []
        self._draft = NOTHING
        self._live: Live | None = None

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._row,
                refresh_per_second=REFRESHES,
                transient=True,
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

    def show(self, item: Timed | Draft | Segment) -> None:
        """One word, what may follow it, or the end of a segment."""
        if isinstance(item, Segment):
            self._close_segment()
        elif isinstance(item, Draft):
            self._draft = item
        else:
            (self._source if item.side == "source" else self._target).append(item)
            self._draft = rest(self._draft, item.event)

    def finish(self, summary: Summary) -> None:
        """The table of figures."""
        self._close_segment()
        if self._live is not None:
            self._live.stop()
            self._live = None
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for name, figure in _figures(summary):
            table.add_row(name, figure)
        self._console.print()
        self._console.print(table)

    def _close_segment(self) -> None:
        self._draft = NOTHING
        if not self._source and not self._target:
            return
        if self._live is None:
            self._print_plainly()
            self._source, self._target = [], []
        else:
            row = self._row()
            self._source, self._target = [], []  # what the live part shows from now on
            self._console.print(row)

    def _row(self) -> RenderableType:
        row = Table.grid(expand=True, padding=(0, 2))
        row.add_column(ratio=1)
        row.add_column(ratio=1)
        said = Styled(sentence(_printable(word.text) for word in self._source))
        ahead = sentence(map(_printable, self._draft.source))
        said.append(f" {ahead}" if ahead else "", style="dim")
        came = [_cell(word) for word in self._target]
        came += [Styled(_printable(word), style="dim") for word in self._draft.target]
        row.add_row(said, Columns(came))
        return row

    def _print_plainly(self) -> None:
        source, target = self._names
        said = sentence(_printable(word.text) for word in self._source)
        came = " ".join(f"{_printable(word.text)} [{word.lag_ms:.0f}]" for word in self._target)
        for line in (f"{source}  {said}", f"{target}  {came}"):
            self._console.print(Styled(line), soft_wrap=True)


def _cell(word: Timed) -> Styled:
    cell = Styled(_printable(word.text), style="bold")
    cell.append(f"\n{word.lag_ms:.0f} ms", style="not bold dim")
    return cell


def _printable(text: str) -> str:
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _figures(summary: Summary) -> list[tuple[str, str]]:
    unit, digits = ("ms", 0) if summary.spoken else ("words", 2)
    lag = "lag behind the spoken word" if summary.spoken else "lag (computation-aware)"
    return [
        ("words, source / target", f"{summary.source_words} / {summary.target_words}"),
        ("first word after", _figure(summary.first_word_ms, "ms", 0)),
        ("AL", _figure(summary.al, unit, digits)),
        ("LAAL", _figure(summary.laal, unit, digits)),
        (f"{lag}, median", _figure(summary.lag_p50_ms, "ms", 1)),
        (f"{lag}, 95 %", _figure(summary.lag_p95_ms, "ms", 1)),
    ]


def _figure(value: float | None, unit: str, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}"
