"""The load generator: the sessions of one process, staggered, each for the same time."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from streamtrans.messages import PROTOCOL_VERSION, Start
from streamtrans_clients.load import script
from streamtrans_clients.load.script import Script
from streamtrans_clients.load.simuleval import SimulEval
from streamtrans_clients.load.speaker import Speaker
from streamtrans_clients.load.websocket import Native, Simulstream

PATIENCE = 10.0  # s for the answer to the end of the source


@dataclass(frozen=True)
class Job:
    """What one generator process does.

    protocol: native, simulstream or simuleval. urls: session n takes number n, modulo their count. sessions: those of
    this process, out of `total`, which come over `stagger` s; each lives for `stagger + seconds` s, so all live at once
    for `seconds`. audio: see `script.speech`; without it the text files, at `pace` words a second. chunk: pieces that
    simulstream's server takes together.
    """

    protocol: str
    urls: tuple[str, ...]
    sessions: tuple[int, ...]
    total: int
    source: str
    target: str
    policy: str
    seconds: float
    stagger: float
    text: tuple[Path, ...] = ()
    audio: Path | None = None
    pace: float = 3.0
    chunk: int = 1

    def script(self) -> Script:
        """Raises ScriptError, OSError."""
        return script.speech(self.audio) if self.audio else script.text(self.text, self.pace)


@dataclass(frozen=True)
class Heard:
    """lags: s, of all committed words. faults: one for each session that was lost. cpu: seconds of this process."""

    lags: list[float]
    faults: list[str]
    cpu: float


def generate(job: Job) -> Heard:
    """Run the sessions to their end. Raises ScriptError, OSError (of files)."""
    spoken = job.script()
    before = resource.getrusage(resource.RUSAGE_SELF)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        speakers = runner.run(_sessions(job, spoken))
    after = resource.getrusage(resource.RUSAGE_SELF)
    return Heard(
        [lag for speaker in speakers for lag in speaker.lags],
        [speaker.fault for speaker in speakers if speaker.fault],
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


async def _sessions(job: Job, spoken: Script) -> list[Speaker]:
    begin = asyncio.get_running_loop().time()
    return await asyncio.gather(*(_session(job, spoken, n, begin) for n in job.sessions))


async def _session(job: Job, spoken: Script, number: int, begin: float) -> Speaker:
    loop = asyncio.get_running_loop()
    due = begin + job.stagger * number / job.total
    await asyncio.sleep(due - loop.time())
    until = due + job.stagger + job.seconds
    url = job.urls[number % len(job.urls)]
    speaker = _speaker(job, url, spoken.said_by(number), spoken.interval, until)
    host, _, port = urlsplit(url).netloc.rpartition(":")
    try:
        async with asyncio.timeout_at(until + PATIENCE):
            await loop.create_connection(lambda: speaker, host, int(port))
            await speaker.over
    except TimeoutError:
        speaker.fault = "unfinished"
    except OSError as error:
        speaker.fault = f"no connection: {error.strerror or error}"
    speaker.close()
    return speaker


def _speaker(
    job: Job, url: str, items: Iterator[str | bytes], interval: float, until: float
) -> Speaker:
    if job.protocol == "simuleval":
        return SimulEval(url, items, interval, until)
    languages = job.source, job.target
    if job.protocol == "simulstream":
        return Simulstream(url, languages, job.chunk, items, interval, until)
    kind, rate = ("audio", script.RATE) if job.audio else ("text", None)
    opening = Start(PROTOCOL_VERSION, *languages, kind, job.policy, rate=rate)
    return Native(url, opening, items, interval, until)
