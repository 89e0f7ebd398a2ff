"""One stream at 3 words a second: how far a committed word comes behind the ideal policy.

The ideal policy commits a word the moment the last source word it needs is sent; lag is counted from there to the
arrival at the client. `python -m bench.lag [--seconds 60] [--policy wait-3] [serve options after --]`
"""

from __future__ import annotations

import argparse
import asyncio
import json

import numpy as np
from streamtrans_clients import pieces
from streamtrans_clients.connection import connect
from streamtrans_clients.file import Timed, stream

from bench import texts
from streamtrans.evaluation.server_process import fresh, machine

PACE = 3.0


async def lags(url: str, policy: str, seconds: float) -> list[float]:
    """The lag of each committed word in ms."""
    text = " ".join(texts.words()[: int(seconds * PACE)])
    async with connect(url, "en", "fr", policy) as session:
        items = [item async for item in stream(session, pieces.paced(text, PACE))]
    return [i.lag_ms for i in items if isinstance(i, Timed) and i.side == "target"]


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--policy", default="wait-3")
    parser.add_argument("options", nargs="*", help="for streamtrans serve")
    args = parser.parse_args()
    with fresh(*args.options) as running:
        found = asyncio.run(lags(running.url, args.policy, args.seconds))
        p50, p95, p99 = np.percentile(found, (50, 95, 99))
        print(
            json.dumps(
                {
                    "bench": "lag",
                    "words": len(found),
                    "p50_ms": round(float(p50), 1),
                    "p95_ms": round(float(p95), 1),
                    "p99_ms": round(float(p99), 1),
                    "server_ready_s": round(running.ready_after, 2),
                    **machine(),
                }
            )
        )


if __name__ == "__main__":
    main()
