"""The one thread that touches the engine: commands in through an inbox, events out to the loop.

This file knows when the engine runs, who gets its events and what happens when it fails. It does
not know sockets, frames or who is admitted.

One turn: take what is in the inbox (sleeping there while the engine has nothing to do), one tick or,
when there is nothing to do, a step of a draft, one call into the event loop with the events of all
sessions. Sound waits for a round (`hearing_pace.py`), nothing else does. A tick of READs has only
source words to tell, and a tick of WRITEs for the same sessions follows at once: they go out
together, because a write to a socket costs more (measured: 25 us) than all the rest of an event.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from streamtrans.engine import Engine, EngineFull, SessionError
from streamtrans.messages import (
    Audio,
    Command,
    Done,
    Error,
    FromServer,
    Mark,
    SetPolicy,
    Source,
)
from streamtrans.policy import Action, PolicyError, runnable
from streamtrans_server.accounts import Accounts
from streamtrans_server.channel import Channel
from streamtrans_server.draft_watch import DraftWatch
from streamtrans_server.engine_host import BROKEN, About, Close, Control, Open, Pause
from streamtrans_server.hearing_pace import HearingPace
from streamtrans_server.lag_watch import LagWatch
from streamtrans_server.logs import log_failure
from streamtrans_server.metrics import EngineMetrics
from streamtrans_server.warm_up import warm_up

log = logging.getLogger("streamtrans.server.engine")

PATIENCE = 0.02  # s since the last call into the loop after which source words go out alone


class Stop:
    """End the thread."""


Item = tuple[Channel, Command | Control, int, float]  # weight in `posted`, time of arrival in s


class EngineThread:
    """See `EngineHost`. `await start()`, then `post`; events come back through `Channel.deliver` in the loop."""

    def __init__(self, engine: Engine, lag_ms: float, metrics: EngineMetrics) -> None:
        self.about = About.of(engine)
        self._engine = engine
        self._metrics = metrics
        self._lag_watch = LagWatch(engine, lag_ms / 1000)
        self._draft_watch = DraftWatch(engine, metrics)
        self._accounts = Accounts(metrics)
        self._pace = HearingPace()
        self._inbox: SimpleQueue[Item | Stop] = SimpleQueue()
        self._channels: dict[int, Channel] = {}  # by id() of the session, which the channel holds
        self._hearing: dict[int, Channel] = {}  # those of them that hear
        self._out: dict[Channel, list[FromServer]] = {}
        self._urgent = False  # there is more in `_out` than source words
        self._handed_over = 0.0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    # in the loop

    async def start(self, on_failed: Callable[[], None]) -> None:
        """See `EngineHost`."""
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._warmed: asyncio.Future[None] = self._loop.create_future()
        self._thread.start()
        await self._warmed

    def post(
        self,
        channel: Channel,
        command: Command | Control,
        weight: int = 0,
        arrived: float | None = None,
    ) -> None:
        """See `EngineHost`. arrived: when it came, in s of `time.monotonic`, if not just now."""
        self._inbox.put((channel, command, weight, arrived or time.monotonic()))

    @property
    def queued(self) -> int:
        """See `EngineHost`."""
        return self._inbox.qsize()

    async def stop(self) -> None:
        """See `EngineHost`."""
        self._inbox.put(Stop())
        await asyncio.to_thread(self._thread.join)

    def kill(self) -> None:
        """See `EngineHost`: a thread ends with its process."""

    # in the thread

    def _run(self) -> None:
        try:
            warm_up(self._engine)
            gc.collect()
            gc.freeze()
        except Exception as error:
            self._call(self._warmed.set_exception, error)
            return
        self._call(self._warmed.set_result, None)
        try:
            while self._turn():
                pass
        except Exception as error:
            log_failure(log, "engine_failed", error)
            self._bury()

    def _turn(self) -> bool:
        """Take, tick, hand over. False when the thread was told to stop."""
        if not self._take(self._rest()):
            return False
        hear = not self._pace.rest(time.monotonic())
        if self._engine.pressing or (hear and self._engine.ready):
            self._tick(hear)
        elif self._engine.drafts.going:
            self._draft()
        now = time.monotonic()
        for channel, lag in self._lag_watch.look(self._channels.values(), now):
            self._metrics.lagged()
            self._say(channel, lag)
        patient = self._engine.pressing and now - self._handed_over < PATIENCE
        if self._out and (self._urgent or not patient):
            out, self._out = self._out, {}
            self._urgent = False
            self._handed_over = now
            self._call(_deliver, out)
        return True

    def _rest(self) -> float | None:
        """How many seconds there is nothing to do but to wait for the inbox; None: no end of them is known."""
        if self._engine.pressing or self._engine.drafts.going:
            return 0.0
        now = time.monotonic()
        sound = self._pace.rest(now) if self._engine.ready else None
        draft = self._draft_watch.look(now) if sound is None or sound > 0 else None
        return min((rest for rest in (sound, draft) if rest is not None), default=None)

    def _take(self, wait: float | None) -> bool:
        """Feed all that is in the inbox; `wait` so many seconds for something when it is empty."""
        while True:
            try:
                item = self._inbox.get(block=wait != 0, timeout=wait)
            except Empty:
                return True
            if isinstance(item, Stop):
                return False
            self._feed(*item)
            wait = 0

    def _feed(
        self, channel: Channel, command: Command | Control, weight: int, arrived: float
    ) -> None:
        channel.fed += weight
        if isinstance(command, Audio):
            channel.fed_bytes += len(command.data)
        try:
            if isinstance(command, (Open, Pause, Close)):
                self._control(channel, command)
            elif channel.session is not None:
                self._engine.feed(channel.session, command)
                if isinstance(command, (Mark, SetPolicy)):
                    channel.unanswered += 1
        except PolicyError as error:
            self._fail(channel, Error("bad_policy", str(error)))
        except SessionError as error:
            self._fail(channel, Error(error.code, error.text))
        except EngineFull:
            self._fail(channel, Error("overloaded", "no session is free; try again later"))
        except Exception as error:
            log_failure(log, "feed_failed", error)
            self._fail(channel, Error("internal", "the session could not go on"))
        self._accounts.fed(channel, command, arrived)
        if channel.blocked:
            self._say(channel)

    def _control(self, channel: Channel, command: Control) -> None:
        if isinstance(command, Open):
            if command.lag_policy is not None:
                runnable(command.lag_policy, self._engine.model.decides)
            session = self._engine.open(command.policy, command.prefix, command.rate, command.pause)
            channel.session = session
            if command.rate is not None:
                self._hearing[id(session)] = channel
            channel.asked_policy = command.ready.policy
            channel.lag_policy = command.lag_policy
            self._channels[id(session)] = channel
            if command.drafts:
                self._draft_watch.add(channel)
            self._say(channel, command.ready)
        elif channel.session is None:
            return
        elif isinstance(command, Pause):
            self._engine.pause(channel.session, command.paused)
            if not command.paused:
                self._draft_watch.again(channel)
        else:
            self._engine.close(channel.session)
            self._forget(channel)

    def _fail(self, channel: Channel, error: Error) -> None:
        """End one session from this side; the others do not notice."""
        if channel.session is not None:
            self._engine.close(channel.session)
            self._forget(channel)
        self._say(channel, error)

    def _say(self, channel: Channel, *messages: FromServer) -> None:
        self._out.setdefault(channel, []).extend(messages)
        self._urgent = True

    def _forget(self, channel: Channel) -> None:
        del self._channels[id(channel.session)]
        self._hearing.pop(id(channel.session), None)
        self._draft_watch.remove(channel)
        channel.session = None
        channel.backlog = 0
        channel.waiting_ms = 0.0

    def _tick(self, hear: bool) -> None:
        before = time.monotonic()
        events_of_all = self._engine.tick(hear)
        now = time.monotonic()
        self._metrics.stepped(now - before, self._engine.last_batch)
        if self._engine.last_action is Action.HEAR:
            self._pace.heard(before, len(self._hearing), self._engine.to_hear)
        if self._engine.last_action is not Action.WRITE:
            for channel in self._hearing.values():
                if self._accounts.heard(channel) and channel.blocked:
                    self._say(channel)
        for session, event in events_of_all:
            channel = self._channels[id(session)]
            events = self._out.get(channel)
            if events is None:
                events = self._out[channel] = []
            events.append(event)
            self._urgent = self._urgent or not isinstance(event, Source)
            self._draft_watch.passed(channel, event)
            self._accounts.said(channel, event, now)
            if isinstance(event, (Done, Error)):
                self._forget(channel)

    def _draft(self) -> None:
        for session, draft in self._engine.drafts.step():
            channel = self._channels.get(id(session))
            if channel is not None and self._draft_watch.fresh(channel, draft):
                self._say(channel, draft)

    def _bury(self) -> None:
        """Tell every session, present and to come, that the engine failed, until told to stop."""
        self._call(self._on_failed)
        self._call(_deliver, {channel: [BROKEN] for channel in self._channels.values()})
        self._channels.clear()
        while not isinstance(item := self._inbox.get(), Stop):
            channel, command, *_ = item
            if isinstance(command, Open):
                self._call(_deliver, {channel: [BROKEN]})

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)


def _deliver(out: dict[Channel, list[FromServer]]) -> None:
    for channel, events in out.items():
        channel.deliver(events)
