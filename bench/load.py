"""Text sessions at a service level: how many live sessions one server holds at 3 words a second.

`python -m bench.load --sessions 200 400 [--seconds 120] [serve options after --]` tries each number once, with a fresh
server process and the load generator in this one. Sessions arrive staggered over 10 s, each sends real text word by
word and listens. A trial passes when at most 0.1 % of the commits come over 1 s behind the ideal policy and p95 is at
most 300 ms. Without --sessions: grow by 1.25 from 100 until a trial fails, then bisect to 5 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Callable

import msgspec
import numpy as np
import uvloop
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from bench import server, texts
from streamtrans.messages import PROTOCOL_VERSION, Error, FromServer, Ready, Start, Target, Text

PACE = 3.0
STAGGER = 10.0
_decode = msgspec.json.Decoder(FromServer).decode
_encode = msgspec.json.Encoder().encode


class Speaker(asyncio.Protocol):
    """One session: sans-I/O websocket, no task, so that the generator costs little beside the server."""

    def __init__(self, url: str, words: list[str], lost: Callable[[str], None]) -> None:
        self.protocol = ClientProtocol(parse_uri(url))
        self.words, self.lost = words, lost
        self.sent: list[float] = []
        self.lags: list[float] = []
        self.ready = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.protocol.send_request(self.protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        now = time.perf_counter()
        for event in self.protocol.events_received():
            if not isinstance(event, Frame):
                start = Start(PROTOCOL_VERSION, "en", "fr")
                self.protocol.send_text(_encode(start))
            elif event.opcode is Opcode.TEXT:
                self._hear(_decode(event.data), now)
        self._flush()

    def _hear(self, event: FromServer, now: float) -> None:
        if isinstance(event, Target):
            self.lags.append(now - self.sent[event.read - 1])
        elif isinstance(event, Ready):
            self.ready = True
        elif isinstance(event, Error):
            self.lost(event.code)

    def speak(self) -> None:
        """Send the next word."""
        if not self.ready:
            return
        self.protocol.send_text(_encode(Text(self.words[len(self.sent) % len(self.words)] + " ")))
        self.sent.append(time.perf_counter())
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost("connection lost")

    def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            self.transport.write(data)


async def trial(url: str, count: int, seconds: float) -> tuple[list[float], list[str]]:
    """Lags in s of all commits, and what was lost on the way."""
    loop = asyncio.get_running_loop()
    uri, lost, text = parse_uri(url), [], texts.words()
    speakers: list[Speaker] = []
    begin = loop.time()
    end = begin + STAGGER + seconds
    for i in range(count):
        due = begin + STAGGER * i / count
        await asyncio.sleep(due - loop.time())
        words = text[(37 * i) % len(text) :] + text[: (37 * i) % len(text)]
        _, speaker = await loop.create_connection(
            lambda w=words: Speaker(url, w, lost.append), uri.host, uri.port
        )
        speakers.append(speaker)
        loop.call_at(due + 0.5, _turn, loop, speaker, due + 0.5, end)
    await asyncio.sleep(end - loop.time())
    lags = [lag for speaker in speakers for lag in speaker.lags]
    failed = list(lost)
    for speaker in speakers:
        speaker.transport.abort()
    return lags, failed


def _turn(loop: asyncio.AbstractEventLoop, speaker: Speaker, due: float, end: float) -> None:
    """Speak a word on an absolute schedule."""
    if due < end:
        speaker.speak()
        loop.call_at(due + 1 / PACE, _turn, loop, speaker, due + 1 / PACE, end)


def run(count: int, seconds: float, options: list[str]) -> bool:
    """One trial with a fresh server; prints its JSON line."""
    with server.fresh("--max-sessions", str(count + 8), *options) as running:
        before = running.cpu_seconds()
        own = resource.getrusage(resource.RUSAGE_SELF)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            lags, lost = runner.run(trial(running.url, count, seconds))
        now = resource.getrusage(resource.RUSAGE_SELF)
        wall = STAGGER + seconds
        p50, p95, p99 = np.percentile(lags or [np.inf], (50, 95, 99)) * 1000
        late = sum(lag > 1.0 for lag in lags) / max(1, len(lags))
        expected = PACE * seconds * count
        passed = late <= 0.001 and p95 <= 300 and not lost and len(lags) > 0.9 * expected
        figures = {
            "bench": "load",
            "sessions": count,
            "passed": bool(passed),
            "commits": len(lags),
            "late_share": round(late, 5),
            "p50_ms": round(p50, 1),
            "p95_ms": round(p95, 1),
            "p99_ms": round(p99, 1),
            "lost": len(lost),
            "server_cores": round((running.cpu_seconds() - before) / wall, 2),
            "generator_cores": round(
                (now.ru_utime + now.ru_stime - own.ru_utime - own.ru_stime) / wall, 2
            ),
            "server_peak_mib": round(running.peak_mib()),
            "seconds": seconds,
            "options": " ".join(options),
            **server.machine(),
        }
        print(json.dumps(figures), flush=True)
    return passed


def find(seconds: float, options: list[str]) -> None:
    """Grow by 1.25 until a trial fails, then bisect to 5 %."""
    good, count = 0, 100
    while run(count, seconds, options):
        good, count = count, int(count * 1.25)
    bad = count
    while good and bad - good > 0.05 * good:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if run(middle, seconds, options) else (good, middle)
    print(json.dumps({"bench": "load", "largest_passed": good}))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="*")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("options", nargs="*", help="for streamtrans serve, after --")
    args = parser.parse_args()
    if not args.sessions:
        find(args.seconds, args.options)
    for count in args.sessions or ():
        run(count, args.seconds, args.options)


if __name__ == "__main__":
    main()
