"""What can go wrong for a client, under names that stay.

This file knows the errors and how a failed handshake becomes one. It does not know sessions.
"""

from __future__ import annotations

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)


class Refused(ConnectionError):
    """The server did not let us in: the HTTP status, and after how many seconds to try again."""

    def __init__(self, status: int, retry_after: float | None, text: str = "") -> None:
        super().__init__(f"refused with HTTP {status}: {text}" if text else f"HTTP {status}")
        self.status = status
        self.retry_after = retry_after
        self.text = text


class SessionFailed(RuntimeError):
    """The session ended before it was done.

    `code` is one of the server's error codes, `connection_lost` when the connection ended without
    one, `bad_url` for an address that is none, or `bad_server` when something else answers there.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def refused(error: InvalidHandshake | InvalidURI) -> Refused | SessionFailed:
    """Why no websocket came about."""
    if isinstance(error, InvalidURI):
        return SessionFailed("bad_url", str(error))
    if isinstance(error, InvalidMessage) and isinstance(error.__cause__, (EOFError, OSError)):
        return SessionFailed("connection_lost", "the connection broke within the handshake")
    if not isinstance(error, InvalidStatus):
        return SessionFailed("bad_server", f"no websocket server answers there: {error}")
    response = error.response
    after = response.headers.get("Retry-After", "")
    text = bytes(response.body or b"").decode(errors="replace").strip()
    return Refused(response.status_code, float(after) if after.isdigit() else None, text)


def lost(error: ConnectionClosed) -> SessionFailed:
    close = error.rcvd
    how = f"closed with {close.code} {close.reason}".rstrip() if close else "closed without a word"
    return SessionFailed("connection_lost", f"the connection was {how}")
