"""The engine: many live sessions over one model, in ragged batches. Synchronous; one owner; no clock, no sockets."""

from streamtrans.engine.engine import Engine, EngineFull
from streamtrans.engine.session import Session
from streamtrans.engine.source_word import SessionError

__all__ = ["Engine", "EngineFull", "Session", "SessionError"]
