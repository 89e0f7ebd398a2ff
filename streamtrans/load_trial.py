"""One trial of live sessions: a fresh server, ours or another's with our model in it, and the generator beside it.

Only the command line uses this file: it is where server processes, clients and the evaluation meet.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from streamtrans_clients.load import Heard, Job, generate

from streamtrans import pretrained
from streamtrans.evaluation.load import STAGGER_S, Trial, counted, late_share, percentiles
from streamtrans.evaluation.server_process import Server, ServerError, ended, fresh

TEXT = Path(__file__).parent / "pretrained" / "demo.en.txt"
START_S = 300.0  # for a server to listen
CHUNK_MS = 320  # of audio, for simulstream: the chunk of the recogniser
PIECES = 4  # of the generator, in it
OTHERS = {"simulstream": "audio", "simuleval": "text"}  # what each is measured with


@dataclass(frozen=True)
class Setup:
    """The same for each trial: model and how it runs, what is said, for how long.

    audio: recordings; without them the words of `text`. options: further ones for `streamtrans serve`.
    """

    model: str = "en-fr"
    recognizer: str = "auto"
    policy: str = "wait-3"
    device: str = "auto"
    dtype: str = "auto"
    threads: int = 1
    text: tuple[Path, ...] = (TEXT,)
    audio: Path | None = None
    pace: float = 3.0
    seconds: float = 120.0
    stagger: float = STAGGER_S
    generators: int = 1
    options: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """text or audio."""
        return "audio" if self.audio else "text"

    @property
    def serve(self) -> tuple[str, ...]:
        """Options of `streamtrans serve` that every server of a comparison has in its own way."""
        where = "--device", self.device, "--dtype", self.dtype, "--threads", str(self.threads)
        return ("--model", self.model, "--recognizer", self.recognizer, *where)

    @property
    def languages(self) -> tuple[str, str]:
        """Of the model. Raises UnknownModel."""
        return pretrained.languages(self.model)


def check(setup: Setup, against: str | None) -> None:
    """Whether a comparison is possible at all. Raises ValueError and its kinds, OSError."""
    if against and against not in OTHERS:
        raise ValueError(f"no server {against!r} to compare with: one of {', '.join(OTHERS)}")
    if against and OTHERS[against] != setup.kind:
        raise ValueError(f"{against} is measured with {OTHERS[against]}, not with {setup.kind}")
    if against:
        try:
            metadata.version(against)
        except metadata.PackageNotFoundError as error:
            raise ValueError(f"{against} is not installed: pip install {against}") from error
    if not setup.audio and pretrained.direct(setup.model):
        raise ValueError(f"{setup.model} translates speech: name recordings with --audio")
    hears = setup.recognizer, setup.languages[0], pretrained.find(setup.model)
    if setup.audio and not pretrained.find_recognizer(*hears):
        raise ValueError(f"{setup.model} has no recogniser: name one with --recognizer")
    _job(setup, "native", (), (), 1).script()


def trial(server: str, setup: Setup, sessions: int) -> Trial:
    """server: streamtrans, simulstream or simuleval. Raises ServerError, and what `check` raises."""
    serving, protocol = SERVERS[server]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # a session is a file here and there
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with serving(setup, sessions) as running:
        before = running.cpu_seconds()
        began = time.perf_counter()
        heard = _generated(setup, protocol, running.urls, sessions)
        wall = time.perf_counter() - began
        cores, peak = (running.cpu_seconds() - before) / wall, running.peak_mib()
    lags = [lag for part in heard for lag in part.lags]
    p50, p95, p99 = percentiles(lags)
    return Trial(
        server=server,
        kind=setup.kind,
        policy=setup.policy,
        sessions=sessions,
        seconds=setup.seconds,
        stagger=setup.stagger,
        commits=len(lags),
        late_share=late_share(lags),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        lost=counted(fault for part in heard for fault in part.faults),
        server_cores=cores,
        generator_cores=sum(part.cpu for part in heard) / wall,
        generators=setup.generators,
        memory_mib=peak,
        ready_s=running.ready_after,
        options=" ".join(
            (*setup.serve, *setup.options) if server == "streamtrans" else setup.serve
        ),
    )


def _generated(setup: Setup, protocol: str, urls: tuple[str, ...], total: int) -> list[Heard]:
    """Each generator is a process of its own, with every n-th session."""
    parts = [tuple(range(first, total, setup.generators)) for first in range(setup.generators)]
    jobs = [_job(setup, protocol, urls, part, total) for part in parts]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(setup.generators, mp_context=spawn) as processes:
        return list(processes.map(generate, jobs))


def _job(
    setup: Setup, protocol: str, urls: tuple[str, ...], sessions: tuple[int, ...], total: int
) -> Job:
    return Job(
        protocol,
        urls,
        sessions,
        total,
        *setup.languages,
        setup.policy,
        setup.seconds,
        setup.stagger,
        setup.text,
        setup.audio,
        setup.pace,
        PIECES,
    )


def _streamtrans(setup: Setup, sessions: int) -> AbstractContextManager[Server]:
    return fresh(
        *setup.serve,
        *("--max-sessions", str(sessions + 8), "--log-level", "warning"),
        *setup.options,
    )


@contextmanager
def _simulstream(setup: Setup, sessions: int) -> Iterator[Server]:
    """Its websocket server with a pool of one processor for each session."""
    with tempfile.TemporaryDirectory() as folder:
        port = _free_ports(1)[0]
        server = {
            "hostname": "127.0.0.1",
            "port": port,
            "pool_size": sessions,
            "acquire_timeout": 10,
            "metrics": {"enabled": False, "filename": "none"},
        }
        processor = {
            "type": "streamtrans.evaluation.simulstream_processor.CascadeProcessor",
            "speech_chunk_size": CHUNK_MS / 1000,
            "model": setup.model,
            "recognizer": setup.recognizer,
            "policy": setup.policy,
            "device": setup.device,
            "dtype": setup.dtype,
            "threads": setup.threads,
        }
        command = [sys.executable, "-m", "simulstream.server.websocket_server"]
        for name, options in (("server", server), ("speech-processor", processor)):
            file = Path(folder, f"{name}.yaml")
            file.write_text(json.dumps(options))  # JSON is YAML
            command += [f"--{name}-config", str(file)]
        with _listening([command], [port], folder, setup.threads) as running:
            yield running


@contextmanager
def _simuleval(setup: Setup, sessions: int) -> Iterator[Server]:
    """Its agent server: one agent holds one session, so one process for each session."""
    with tempfile.TemporaryDirectory() as folder:
        agent = "streamtrans.evaluation.simuleval_agent.RemoteTextAgent"
        command = [sys.executable, "-m", "simuleval.cli", "--standalone", "--agent-class", agent]
        command += ["--model", setup.model, "--policy", setup.policy]
        command += ["--device", setup.device, "--engine-dtype", setup.dtype, "--remote-port"]
        ports = _free_ports(sessions)
        commands = [[*command, str(port)] for port in ports]
        with _listening(commands, ports, folder, setup.threads) as running:
            yield running


@contextmanager
def _listening(
    commands: Sequence[list[str]], ports: Sequence[int], folder: str, threads: int
) -> Iterator[Server]:
    """Processes, each with its port, once all of them take connections. Raises ServerError."""
    variables = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    started = time.perf_counter()
    with ExitStack() as stack:
        said = stack.enter_context(Path(folder, "log").open("w+"))
        processes: list[subprocess.Popen[str]] = []
        stack.enter_context(ended(processes))
        for command in commands:
            processes.append(
                subprocess.Popen(command, stdout=said, stderr=said, text=True, env=variables)
            )
        for process, port in zip(processes, ports, strict=True):
            while not _takes(port):
                if process.poll() is not None or time.perf_counter() - started > START_S:
                    said.seek(0)
                    raise ServerError(f"{commands[0][2]} did not start: {said.read()[-2000:]}")
                time.sleep(0.1)
        urls = tuple(f"ws://127.0.0.1:{port}" for port in ports)
        yield Server(urls, tuple(p.pid for p in processes), time.perf_counter() - started)


def _takes(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


SERVERS: dict[str, tuple[Callable[[Setup, int], AbstractContextManager[Server]], str]] = {
    "streamtrans": (_streamtrans, "native"),
    "simulstream": (_simulstream, "simulstream"),
    "simuleval": (_simuleval, "simuleval"),
}
