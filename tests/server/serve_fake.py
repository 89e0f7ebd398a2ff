"""`streamtrans serve` in small: the server on the fake engine, for tests that need a process."""

from __future__ import annotations

import sys
from functools import partial

from fake_engine import FakeEngine
from streamtrans_server import ServerConfig, run

if __name__ == "__main__":
    drain_seconds = float(sys.argv[1])
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    hears = "deaf" not in sys.argv
    workers = 2 if "workers" in sys.argv else 1
    run(
        partial(FakeEngine, hears=hears),
        ServerConfig(port=port, drain_seconds=drain_seconds, workers=workers, log_level="warning"),
    )
