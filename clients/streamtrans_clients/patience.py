"""Trying again: how often, how long, and after which errors.

This file knows errors and time. It does not know sessions.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from streamtrans_clients.errors import Refused, SessionFailed

FIRST_DELAY, LONGEST_DELAY = 0.05, 2.0  # s between two attempts
RETRIED = frozenset({"connection_lost", "draining", "internal", "overloaded"})
BUSY = frozenset({429, 502, 503, 504})


async def patiently(attempt: Callable[[], Awaitable[None]], patience: float) -> None:
    """Until an attempt succeeds, for `patience` s. Raises SessionFailed: connection_lost, or what no time will mend."""
    deadline = time.monotonic() + patience
    delay = FIRST_DELAY
    while True:
        try:
            return await attempt()
        except SessionFailed as failure:
            if failure.code not in RETRIED:
                raise
            why: Exception = failure
        except Refused as refusal:
            if refusal.status not in BUSY:
                raise SessionFailed("connection_lost", str(refusal)) from refusal
            why = refusal
        except (OSError, TimeoutError) as error:
            why = error
        if time.monotonic() + delay > deadline:
            text = f"no way back within {patience:g} s: {why}"
            raise SessionFailed("connection_lost", text) from why
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))
        delay = min(2 * delay, LONGEST_DELAY)
