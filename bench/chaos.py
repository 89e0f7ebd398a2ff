"""Random cuts of the line and kill -9 of the server: the transcript must be that of an undisturbed run.

Each run is one session of the client library, which streams real sentences with marks, flushes and changes of policy
through a line that breaks (`bench.cuts`) to a server process that is killed and started again. Reported: runs, cuts,
kills, returns, replays, and the runs whose events differ in any word, index, order or place in the sound from the
undisturbed run (0 is the claim).
`python -m bench.chaos [--runs 200] [--at-once 8] [--sound talk.wav] [serve options after --]`
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import soundfile
from streamtrans_clients import SessionFailed
from streamtrans_clients.connection import connect
from streamtrans_clients.patience import RETRIED
from streamtrans_clients.session import Session

from bench import texts
from bench.cuts import Line
from streamtrans.evaluation.server_process import machine
from streamtrans.messages import Changed, Done, Event, Lag, Marked, Segment, Source, Target

SERVE = [sys.executable, "-m", "streamtrans", "serve", "--port", "0", "--log-level", "warning"]


@dataclass
class Tally:
    """What was done to the sessions and what came of it."""

    runs: int = 0
    cuts: int = 0
    kills: int = 0
    returns: int = 0
    replays: int = 0
    words: int = 0
    different: list[int] = field(default_factory=list)


class Mortal:
    """A server process that can be killed and comes back, each time on another port."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[str] | None = None
        self.address = ("127.0.0.1", 1)  # nobody listens there
        self.kills = 0

    async def start(self) -> None:
        """Returns once it is warm."""
        process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._process = process
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        if not line.startswith("listening on "):
            raise RuntimeError("the server did not start")
        parts = urlsplit(line.split()[-1])
        assert parts.hostname and parts.port
        self.address = (parts.hostname, parts.port)

    def kill(self) -> None:
        """SIGKILL, without a word."""
        assert self._process is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    async def die_and_rise(self, chance: random.Random, between: tuple[float, float]) -> None:
        """Over and over, until cancelled."""
        while True:
            await asyncio.sleep(chance.uniform(*between))
            self.kill()
            self.kills += 1
            await self.start()


@dataclass(frozen=True)
class Script:
    """What one session says, the same in each run with this number."""

    number: int
    words: Sequence[str]

    @property
    def opening(self) -> dict[str, Any]:
        """What `connect` is told of it."""
        return {}

    async def speak(self, session: Session, pause: float) -> None:
        """All of it, in pieces that are not words, to the end."""
        chance = random.Random(self.number)
        text = " ".join(self.words)
        marks = 0
        while text:
            size = chance.randint(1, 30)
            piece, text = text[:size], text[size:]
            await session.send_text(piece)
            marks += await interrupt(session, chance, marks)
            await asyncio.sleep(pause)
        await session.end()


@dataclass(frozen=True)
class Talk:
    """The same in sound: s16le mono PCM of `rate` samples a second."""

    number: int
    sound: bytes
    rate: int

    @property
    def opening(self) -> dict[str, Any]:
        """What `connect` is told of it."""
        return {"kind": "audio", "rate": self.rate}

    async def speak(self, session: Session, pause: float) -> None:
        """All of it, in frames of 20 to 200 ms that may part a sample, to the end."""
        chance = random.Random(self.number)
        sound, marks = self.sound, 0
        while sound:
            size = chance.randint(self.rate // 25, self.rate * 2 // 5)
            frame, sound = sound[:size], sound[size:]
            await session.send_audio(frame)
            marks += await interrupt(session, chance, marks)
            await asyncio.sleep(pause)
        await session.end()


async def interrupt(session: Session, chance: random.Random, marks: int) -> bool:
    """Between two pieces, now and then, a mark, another policy or a flush. True: it was a mark."""
    fate = chance.random()
    if fate < 0.05:
        await session.mark(f"m{marks + 1}")
    elif fate < 0.08:
        await session.set_policy(f"wait-{chance.randint(1, 5)}")
    elif fate < 0.1:
        await session.flush()
    return fate < 0.05


def seen(event: Event) -> tuple[object, ...] | None:
    """What of an event must not depend on luck: all but clocks."""
    if isinstance(event, Source):
        place = [None if ms is None else round(ms) for ms in (event.begin, event.end)]
        return ("source", event.seq, event.index, event.text, *place)
    if isinstance(event, Target):
        return ("target", event.seq, event.index, event.text, event.read)
    if isinstance(event, Segment):
        end = None if event.end is None else round(event.end)
        return ("segment", event.seq, event.source_words, event.target_words, end)
    if isinstance(event, Marked):
        return ("marked", event.seq, event.id)
    if isinstance(event, Changed):
        return ("changed", event.seq, event.policy, event.index)
    if isinstance(event, Done):
        return ("done", event.seq, event.source_words, event.target_words)
    assert isinstance(event, Lag)
    return None


async def opened(url: str, stack: contextlib.AsyncExitStack, script: Script | Talk) -> Session:
    """A session; opening one is tried again by the caller, going on with one by the library."""
    while True:
        try:
            opening = connect(url, policy="wait-3", patience=120.0, **script.opening)
            return await stack.enter_async_context(opening)
        except OSError:
            await asyncio.sleep(0.05)
        except SessionFailed as failure:
            if failure.code not in RETRIED:
                raise
            await asyncio.sleep(0.05)


async def transcript(
    url: str, script: Script | Talk, pause: float, tally: Tally
) -> list[tuple[object, ...]]:
    """What a reader of this session sees, without lag events and their numbers."""
    async with contextlib.AsyncExitStack() as stack:
        session = await opened(url, stack, script)
        speaking = asyncio.create_task(script.speak(session, pause))
        events, lags = [], 0
        async for event in session:
            line = seen(event)
            if line is None:
                lags += 1
                continue
            kind, seq, *rest = line
            assert isinstance(seq, int)
            events.append((kind, seq - lags, *rest))
        await speaking
        tally.returns += session.reconnects
        tally.replays += session.replays
    return events


@contextlib.asynccontextmanager
async def reached(
    mortal: Mortal, chance: random.Random, mean: float | None
) -> AsyncIterator[tuple[str, Line]]:
    line = Line(lambda: mortal.address, chance, mean)
    async with line.listening() as (host, port):
        yield f"ws://{host}:{port}/v1/translate", line


async def chaos(
    command: Sequence[str],
    scripts: Sequence[Script | Talk],
    at_once: int,
    pause: float,
    between: tuple[float, float],
    mean: float,
    seed: int = 0,
) -> Tally:
    """All scripts undisturbed, then all of them under fire, `at_once` at a time."""
    tally, chance = Tally(), random.Random(seed)
    mortal = Mortal(command)
    await mortal.start()
    limit = asyncio.Semaphore(at_once)

    async def one(url: str, script: Script | Talk, pause: float) -> list[tuple[object, ...]]:
        async with limit:
            return await transcript(url, script, pause, tally)

    try:
        async with reached(mortal, chance, None) as (url, _):
            calm = await asyncio.gather(*(one(url, script, 0.0) for script in scripts))
        async with reached(mortal, chance, mean) as (url, line):
            killing = asyncio.create_task(mortal.die_and_rise(chance, between))
            work = asyncio.gather(*(one(url, script, pause) for script in scripts))
            await asyncio.wait((killing, work), return_when=asyncio.FIRST_COMPLETED)
            if killing.done():
                work.cancel()
                killing.result()
            killing.cancel()
            wild = await work
            await asyncio.gather(killing, return_exceptions=True)
            tally.cuts, tally.kills = line.cuts, mortal.kills
    finally:
        mortal.kill()
    tally.runs = len(scripts)
    tally.words = sum(event[0] == "target" for events in calm for event in events)
    tally.different = [s.number for s, a, b in zip(scripts, calm, wild, strict=True) if a != b]
    return tally


def scripts(count: int, words: int) -> list[Script]:
    """So many texts of so many words, from the shipped sentences."""
    every = texts.words()
    return [
        Script(n, [every[(n * words + i) % len(every)] for i in range(words)]) for n in range(count)
    ]


def talks(count: int, file: str) -> list[Talk]:
    """So many talks, each a sixth of the file later than the one before."""
    samples, rate = soundfile.read(file, dtype="int16", always_2d=True)
    sound = [samples[n * len(samples) // 6 % len(samples) :, 0].tobytes() for n in range(count)]
    return [Talk(number, each, rate) for number, each in enumerate(sound)]


def main() -> None:
    """Print one JSON line; exit with 1 when a run differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--pause", type=float, default=0.15, help="s between two pieces")
    parser.add_argument("--kill-every", type=float, default=4.0, help="s, on the average")
    parser.add_argument("--cut-after", type=float, default=4000.0, help="bytes, on the average")
    parser.add_argument("--sound", help="an audio file instead of texts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("options", nargs="*", help="for streamtrans serve")
    args = parser.parse_args()
    between = (0.5 * args.kill_every, 1.5 * args.kill_every)
    began = time.perf_counter()
    tally = asyncio.run(
        chaos(
            [*SERVE, *args.options],
            talks(args.runs, args.sound) if args.sound else scripts(args.runs, args.words),
            args.at_once,
            args.pause,
            between,
            args.cut_after,
            args.seed,
        )
    )
    figures = {**tally.__dict__, "different": len(tally.different)}
    figures["seconds"] = round(time.perf_counter() - began)
    print(json.dumps({"bench": "chaos", **figures, **machine()}))
    sys.exit(bool(tally.different))


if __name__ == "__main__":
    main()
