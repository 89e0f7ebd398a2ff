"""A fresh `streamtrans serve` process, and what it used. Linux only (it reads /proc)."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Server:
    """url, pid, and how long after the command it listened (s)."""

    url: str
    pid: int
    ready_after: float

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        """Peak resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


@contextmanager
def fresh(*options: str) -> Iterator[Server]:
    """Start `streamtrans serve` on a free port with these options; end it with SIGTERM."""
    command = [sys.executable, "-m", "streamtrans", "serve", "--port", "0", *options]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        ready = time.perf_counter() - started
        try:
            yield Server(line.removeprefix("listening on ").strip(), process.pid, ready)
        finally:
            process.terminate()


def machine() -> dict[str, str | int | None]:
    """What stands beside every figure."""
    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
