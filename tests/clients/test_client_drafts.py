"""Drafts in the clients: typed, only for who asks, dimmed on a terminal, never in a file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scripted_server import READY, Capitals, in_loop, serving
from streamtrans_clients import connect
from streamtrans_clients.captions import CaptionFile
from streamtrans_clients.display import Display
from streamtrans_clients.file import Timed, stream
from streamtrans_clients.live_captions import LiveCaptions
from streamtrans_clients.pieces import at_once
from streamtrans_clients.record import Record
from streamtrans_clients.source_words import rest
from websockets.asyncio.server import ServerConnection

from streamtrans.messages import Done, Draft, Event, Lag, Segment, Source, Target, Text

DRAFT = Draft(("sat", "o"), ("ASSIS", "SUR"))


class Drafting(Capitals):
    """Sends a draft behind each word, if it was asked for."""

    def answers(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for event in super().answers(message):
            yield event
            if event["type"] == "target" and self.received[0].get("drafts"):
                yield {"type": "draft", "source": ["ne"], "target": [event["text"] + "?"]}


@in_loop
async def test_they_come_typed_between_the_events_they_follow() -> None:
    server = Drafting()
    async with serving(server) as url, connect(url, drafts=True) as session:
        await session.send_text("one two ")
        await session.end()
        events: list[Event] = [event async for event in session]
    assert server.received[0]["drafts"] is True
    drafts = [event for event in events if isinstance(event, Draft)]
    assert drafts == [Draft(("ne",), ("ONE?",)), Draft(("ne",), ("TWO?",))]
    numbers = [event.seq for event in events if not isinstance(event, Draft)]  # type: ignore[union-attr]
    assert numbers == list(range(1, len(numbers) + 1))


@in_loop
async def test_who_does_not_ask_sees_none() -> None:
    server = Drafting()
    async with serving(server) as url, connect(url) as session:
        await session.send_text("one two ")
        await session.end()
        assert not [event async for event in session if isinstance(event, Draft)]
    assert "drafts" not in server.received[0]


@in_loop
async def test_a_stream_passes_them_on_beside_the_timed_words() -> None:
    async with serving(Drafting()) as url, connect(url, drafts=True) as session:
        items = [item async for item in stream(session, at_once("one two"))]
    kinds = [type(item).__name__ for item in items]
    assert kinds == "Timed Timed Draft Timed Timed Draft".split()


class Leaving(Drafting):
    """Loses the first connection behind its first draft; over the second one come only events."""

    async def __call__(self, peer: ServerConnection) -> None:
        assert peer.request is not None
        if "resume=" in peer.request.path:
            await peer.send(json.dumps({**READY, "token": "s.t", "received": 1}))
            await peer.send(json.dumps(self.event("done", source_words=1, target_words=1)))
            return
        for _ in range(2):
            self.received.append(json.loads(await peer.recv()))
            for answer in self.answers(self.received[-1]):
                await peer.send(
                    json.dumps({**answer, "token": "s.t"} if answer == READY else answer)
                )
        peer.transport.abort()


@pytest.mark.parametrize("drafts", [True, False])
@in_loop
async def test_a_lost_connection_takes_its_draft_with_it(drafts: bool) -> None:
    async with serving(Leaving()) as url, connect(url, drafts=drafts) as session:
        await session.send_text("one ")
        events = [event async for event in session]
    assert [type(event) for event in events if not isinstance(event, Draft)] == [
        *(Source, Target, Done)
    ]
    told = [event for event in events if isinstance(event, Draft)]
    assert told == ([Draft(("ne",), ("ONE?",)), Draft((), ())] if drafts else [])


def test_a_new_server_that_says_nothing_again_may_draft_at_once() -> None:
    record = Record("wait-1")
    record.sent(Text("one. "))
    for event in (Source(1, "one.", 0, 0.0), Target(2, "ONE.", 0, 1, 0.0), Segment(3, 1, 1)):
        assert record.received(event) == event
    record.restart(5.0)
    assert record.received(DRAFT) == DRAFT


def test_none_is_told_of_what_is_said_again() -> None:
    """A new server writes the open segment once more: its drafts are of words that stand already."""
    record = Record("wait-1")
    record.sent(Text("one two "))
    for event in (Source(1, "one", 0, 0.0), Target(2, "ONE", 0, 1, 0.0)):
        assert record.received(event) == event
    assert record.received(DRAFT) == DRAFT
    record.restart(5.0)
    assert record.received(DRAFT) is None
    assert record.received(Source(1, "one", 0, 0.0)) is None
    assert record.received(DRAFT) is None
    assert record.received(Target(2, "ONE", 0, 1, 0.0)) is None
    assert record.received(Source(3, "two", 1, 0.0)) is not None
    assert record.received(DRAFT) == DRAFT


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (Source(1, "sat", 0, 0.0), Draft(("o",), ("ASSIS", "SUR"))),
        (Source(1, "set", 0, 0.0), Draft((), ("ASSIS", "SUR"))),
        (Target(1, "ASSIS", 0, 1, 0.0), Draft(("sat", "o"), ("SUR",))),
        (Target(1, "MIS", 0, 1, 0.0), Draft(("sat", "o"), ())),
        (Segment(1, 1, 1), Draft((), ())),
        (Lag(1, 5.0), DRAFT),
    ],
)
def test_what_is_committed_takes_the_place_of_a_draft(event: Event, left: Draft) -> None:
    assert rest(DRAFT, event) == left


EVENTS: list[Event] = [
    Source(1, "the", 0, 0.0),
    Source(2, "cat", 1, 0.0),
    Target(3, "LE", 0, 2, 0.0),
    DRAFT,
]
MORE: list[Event] = [Target(4, "ASSIS", 1, 2, 0.0), Segment(5, 2, 2)]


def live(terminal: bool, *events: Event) -> str:
    """What the live captions show after these events, with colours."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=80, color_system="standard")
    captions = LiveCaptions(console)
    for event in events:
        captions.show(event)
    if terminal:
        console.print(captions._picture())
    else:
        captions._close_segment()
    return file.getvalue()


DIM, BOLD = "\x1b[2m", "\x1b[1m"


def test_live_captions_dim_a_draft_behind_what_stands() -> None:
    shown = live(True, *EVENTS)
    assert f"{BOLD}LE\x1b[0m{DIM} ASSIS SUR" in shown
    assert f"{DIM}the cat\x1b[0m\x1b[2;3m sat o" in shown
    shown = live(True, *EVENTS, *MORE[:1])
    assert f"{BOLD}LE ASSIS\x1b[0m{DIM} SUR" in shown
    shown = live(True, *EVENTS, *MORE)
    assert "SUR" not in shown and "sat" not in shown
    long = Draft((), tuple(f"word{number}" for number in range(20)))
    lines = live(True, *EVENTS, long).splitlines()
    assert "LE" in lines[2] and "word5" in lines[2] and "word6" not in lines[2]  # 42 characters


def test_elsewhere_no_draft_is_written() -> None:
    assert live(False, *EVENTS, *MORE) == "LE ASSIS\n"


def test_the_display_dims_it_too() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=70, color_system="standard")
    display = Display(console, "en", "fr")
    for event in EVENTS:
        display.show(Timed(event, 0.0, 0.0) if isinstance(event, (Source, Target)) else DRAFT)
    console.print(display._row())
    assert "the cat\x1b[2m sat o" in file.getvalue()
    assert f"{DIM}ASSIS" in file.getvalue() and f"{BOLD}LE" in file.getvalue()
    file.truncate(0)
    display.show(Segment(5, 2, 2))
    assert "ASSIS" not in file.getvalue()


@pytest.mark.parametrize("side", ["source", "target"])
def test_subtitles_never_hold_one(tmp_path: Path, side: Any) -> None:
    texts = []
    for name, events in (("with", EVENTS), ("without", EVENTS[:-1])):
        path = tmp_path / f"{name}.srt"
        with CaptionFile(path, side) as captions:
            for event in (*events, *MORE):
                captions.show(event)
        texts.append(path.read_text())
    assert texts[0] == texts[1] and texts[0]


def test_chinese_words_have_no_blank_between_them(tmp_path: Path) -> None:
    path = tmp_path / "talk.srt"
    with CaptionFile(path, "source") as captions:
        for index, word in enumerate("你 好 ， 我 是 Anna 。".split()):
            captions.show(Source(index + 1, word, index, 0.0))
        captions.show(Segment(9, 7, 0))
    assert path.read_text().splitlines()[2] == "你好，我是Anna。"


def test_a_draft_is_refused_that_is_none() -> None:
    from streamtrans_clients import SessionFailed, wire

    with pytest.raises(SessionFailed, match="bad_server"):
        wire.event(json.dumps({"type": "draft", "text": "x"}))
