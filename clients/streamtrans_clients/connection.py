"""Opening a session with a streamtrans server, for asyncio. What is said in it and how it goes on is in session.py."""

from __future__ import annotations

import ssl as tls
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from streamtrans.messages import PROTOCOL_VERSION, Start
from streamtrans_clients.dial import Dial
from streamtrans_clients.session import Line, Session


@asynccontextmanager
async def connect(
    url: str,
    source: str = "en",
    target: str = "fr",
    policy: str | None = None,
    proxy: str | None = None,
    *,
    kind: str = "text",
    rate: int | None = None,
    token: str | None = None,
    lag_policy: str | None = None,
    drafts: bool = False,
    pause: int | None = None,
    patience: float = 30.0,
    ssl: tls.SSLContext | None = None,
    on_line: Callable[[Line], None] | None = None,
) -> AsyncIterator[Session]:
    """Open a session.

    kind: text, or audio of `rate` samples a second. token: an API token. lag_policy: the policy the server may change
    to while the session lags. drafts: `Draft` may come, too, of what is not committed, and an empty one after a lost
    connection. pause: ms of silence that end a segment of audio, 200 to 5000; the server's choice without it. patience:
    for how many seconds a lost connection or server is tried again; 0 gives up at once. on_line: is told when the
    connection is lost, and when it is back.
    Raises Refused when the handshake is refused, SessionFailed when `url` is none of a streamtrans
    server or the server does not take the languages or the policy, OSError when there is no server,
    TimeoutError when it does not answer.
    """
    dial = Dial(url, token, proxy, ssl)
    keep = patience > 0
    start = Start(
        PROTOCOL_VERSION,
        source,
        target,
        kind,
        policy,
        keep,
        lag_policy=lag_policy,
        rate=rate,
        drafts=drafts,
        pause=pause,
    )
    socket, ready = await dial.open(start)
    session = Session(dial, start, socket, ready, patience, on_line)
    try:
        yield session
    finally:
        await session.close()
