"""Fresh server processes for a measurement, and what they used. Linux only (it reads /proc)."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

STOP_S = 30.0  # for a server to end after SIGTERM


class ServerError(RuntimeError):
    """A server did not start."""


@dataclass(frozen=True)
class Server:
    """urls, process ids (children not counted), and how long after the command it listened (s)."""

    urls: tuple[str, ...]
    pids: tuple[int, ...]
    ready_after: float

    @property
    def url(self) -> str:
        """The first, for a server that has one."""
        return self.urls[0]

    def cpu_seconds(self) -> float:
        """User and system time so far, of the processes and their children that live."""
        return sum(map(_cpu_seconds, self._all()))

    def peak_mib(self) -> float:
        """Peak resident memory; pages of files, which processes share, are counted for the largest only."""
        sizes = [_memory(pid) for pid in self._all()]
        shared = [size.get("RssFile", 0) for size in sizes]  # a process that has died has neither
        return (sum(size.get("VmHWM", 0) for size in sizes) - sum(shared) + max(shared)) / 1024

    def _all(self) -> list[int]:
        found = list(self.pids)
        for pid in found:  # grows meanwhile
            for file in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, file.read_text().split())
        return found


def _proc(pid: int, name: str) -> str:
    """A file of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _cpu_seconds(pid: int) -> float:
    fields = _proc(pid, "stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> dict[str, int]:
    """KiB by name; nothing of a process that is gone."""
    lines = _proc(pid, "status").splitlines()
    sizes = (line.split() for line in lines if line.startswith(("VmHWM", "RssFile")))
    return {name.rstrip(":"): int(size) for name, size, _ in sizes}


@contextmanager
def fresh(*options: str) -> Iterator[Server]:
    """`streamtrans serve` on a free port with these options; SIGTERM ends it. Raises ServerError."""
    command = [sys.executable, "-m", "streamtrans", "serve", "--port", "0", *options]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, ended([process]):
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            raise ServerError("the server did not start; its own words are above")
        ready = time.perf_counter() - started
        yield Server((line.removeprefix("listening on ").strip(),), (process.pid,), ready)


@contextmanager
def ended(processes: Sequence[subprocess.Popen[str]]) -> Iterator[None]:
    """SIGTERM to all that live when the block ends; SIGKILL to who does not heed it."""
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def machine() -> dict[str, str | int | None]:
    """What stands beside every figure."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_name(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30),
        "gpu": _gpu_name(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
    }


def _cpu_name() -> str | None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else None


def _gpu_name() -> str | None:
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True).stdout
    return answer.strip().splitlines()[0] if answer.strip() else None
