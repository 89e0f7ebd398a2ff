"""What runs an engine, as the server sees it: commands go in, events come back through channels.

Two do: `EngineThread`, in this process, and `EnginePool`, in processes of their own. This file knows what is said
to them. It does not know how they run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from streamtrans.audio.resample import RATES
from streamtrans.engine import Engine
from streamtrans.messages import Command, Error, Ready
from streamtrans_server.channel import Channel
from streamtrans_server.offer import Offer

BROKEN = Error("internal", "the engine has failed; connect again later")


@dataclass(frozen=True, slots=True)
class Open:
    """Open the session of a channel and answer with `ready`; see `messages.Start` for the rest."""

    policy: str | None
    ready: Ready
    prefix: tuple[str, ...] = ()
    lag_policy: str | None = None
    rate: int | None = None
    drafts: bool = False
    pause: int | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """The client does not read (True) or reads again (False), and may lack the last draft."""

    paused: bool


@dataclass(frozen=True, slots=True)
class Close:
    """The client is gone: drop the session at once."""


Control = Open | Pause | Close


@dataclass(frozen=True, slots=True)
class About:
    """What an engine offers, and to how many sessions at once."""

    offer: Offer
    slots: int

    @classmethod
    def of(cls, engine: Engine) -> About:
        """Of an engine that is loaded."""
        model, rates = engine.model, RATES if engine.hears else ()
        offer = Offer(
            model.name, model.source, model.target, engine.kinds, rates, engine.default_policy
        )
        return cls(offer, engine.max_sessions)


class EngineHost(Protocol):
    """All methods are called in the loop."""

    @property
    def about(self) -> About:
        """Known before `start`."""

    async def start(self, on_failed: Callable[[], None]) -> None:
        """Return when it is warm; raises what the warm-up raises. on_failed: called in the loop, once, if an engine
        fails later: its sessions get the error `internal`, and so does every later Open.
        """

    def post(self, channel: Channel, command: Command | Control, weight: int = 0) -> None:
        """Hand over one command; `weight` was added to `channel.posted`. Never blocks."""

    @property
    def queued(self) -> int:
        """Commands that wait for an engine to take them."""

    async def stop(self) -> None:
        """End it and wait for it."""

    def kill(self) -> None:
        """End at once what may still be there, without a loop; nothing after `stop`."""
