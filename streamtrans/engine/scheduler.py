"""Which sessions run next: one batch of READs, of WRITEs or of HEARs. A pure function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from streamtrans.engine.session import Session
from streamtrans.policy import Action


@dataclass(frozen=True)
class Batch:
    """Sessions that take the same action, oldest ready first."""

    action: Action
    sessions: list[Session]


def schedule(ready: Mapping[Action, Mapping[Session, int]], most: int) -> Batch | None:
    """The action of the session that has been ready longest, for all that are ready for it, `most` at a time.

    ready: for each action the sessions ready for it and since which tick, oldest first. Whoever is oldest is in the
    batch, so no one starves; whoever is ready now goes along, so no one waits for a window.
    """
    oldest = {action: next(iter(waiting.values())) for action, waiting in ready.items() if waiting}
    if not oldest:
        return None
    action = min(oldest, key=lambda a: oldest[a])
    return Batch(action, list(islice(ready[action], most)))
