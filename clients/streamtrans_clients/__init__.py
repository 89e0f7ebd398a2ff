"""Clients of a streamtrans server: `connect` for asyncio, `open_sync` without it."""

from streamtrans_clients.connection import connect
from streamtrans_clients.errors import Refused, SessionFailed
from streamtrans_clients.session import Session
from streamtrans_clients.sync import SyncSession, open_sync

__all__ = ["Refused", "Session", "SessionFailed", "SyncSession", "connect", "open_sync"]
