"""`streamtrans serve` in small: the server on the fake engine, for tests that need a process."""

from __future__ import annotations

import sys
from functools import partial

from fake_engine import FakeEngine
from streamtrans_server import ServerConfig, run

KINDS = {"text": "blind", "audio": "deaf"}  # and what a server without it is called

if __name__ == "__main__":
    drain_seconds = float(sys.argv[1])
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    kinds = tuple(kind for kind, lacks in KINDS.items() if lacks not in sys.argv)
    workers = 2 if "workers" in sys.argv else 1
    run(
        partial(FakeEngine, kinds=kinds),
        ServerConfig(port=port, drain_seconds=drain_seconds, workers=workers, log_level="warning"),
    )
