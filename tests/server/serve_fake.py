"""`streamtrans serve` in small: the server on the fake engine, for tests that need a process."""

from __future__ import annotations

import sys

from fake_engine import FakeEngine
from streamtrans_server import ServerConfig, run

if __name__ == "__main__":
    drain_seconds = float(sys.argv[1])
    run(FakeEngine(), ServerConfig(port=0, drain_seconds=drain_seconds, log_level="warning"))
