"""Streaming simultaneous translation: source goes in as it is produced, translated words come out meanwhile.

import streamtrans
translator = streamtrans.load("en-fr")
session = translator.open(policy="wait-3")
for event in session.feed("I am a "):
    print(event)
session.end()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamtrans.translator import LiveSession, Translator, load

__all__ = ["LiveSession", "Translator", "load"]


def __getattr__(name: str) -> Any:
    """Load the front door when it is first used: importing the messages alone must not load torch."""
    if name in __all__:
        from streamtrans import translator

        return getattr(translator, name)
    raise AttributeError(f"module 'streamtrans' has no attribute {name!r}")
