"""What a Deepgram client asks for in the query of its handshake, and what of it this server refuses.

This file knows the names and values of parameters. It does not know messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streamtrans_server.dialects.dialect import Asked, refused

IGNORED = frozenset(
    ("model", "version", "tag", "mip_opt_out", "policy", "access_token")
)  # allowed, without effect here
FEATURES = frozenset(  # that are not there: they may be named only to switch them off
    "diarize multichannel profanity_filter numerals dictation filler_words detect_entities measurements"
    " detect_language sentiment".split()
)
SWITCHES = {"true": True, "false": False}


@dataclass(frozen=True)
class Listening:
    """pause: ms of silence that end what was said, if a number is asked for. interim: words of the open result are
    shown. ends: a pause makes `speech_final`. voice: `SpeechStarted`, utterances: `UtteranceEnd` are wanted.
    """

    rate: int
    pause: int | None
    interim: bool
    ends: bool
    voice: bool
    utterances: bool

    @classmethod
    def of(cls, asked: Asked) -> Listening:
        """Raises Refusal, which names the parameter."""
        query = dict(asked.query)
        for name in IGNORED:
            query.pop(name, None)
        for name in FEATURES & query.keys():
            if query.pop(name) != "false":
                raise refused(f"{name}: this server has no such feature; false is allowed")
        for name in ("punctuate", "smart_format"):  # as the recogniser has learned to write
            _switch(query, name, False)
        _language(query, asked.offer.source)
        if query.pop("encoding", None) != "linear16":
            raise refused("encoding: the audio has to be linear16")
        if query.pop("channels", "1") != "1":
            raise refused("channels: 1 is supported")
        endpointing = _pause(query, "endpointing", 0)
        listening = cls(
            pause=endpointing or None,
            rate=_rate(query, asked.offer.rates),
            interim=_switch(query, "interim_results", False),
            ends=endpointing is not None,
            voice=_switch(query, "vad_events", False),
            utterances=_pause(query, "utterance_end_ms", None) is not None,
        )
        if query:
            raise refused(f"{min(query)[:40]}: this parameter is not supported")
        return listening


def _language(query: dict[str, str], source: str) -> None:
    language = query.pop("language", source)
    if language.replace("_", "-").split("-")[0].lower() != source:
        raise refused(f"language: this server hears {source}")


def _rate(query: dict[str, str], rates: Iterable[int]) -> int:
    allowed = {str(rate): rate for rate in rates}
    rate = query.pop("sample_rate", "")
    if rate not in allowed:
        raise refused(f"sample_rate: one of {', '.join(allowed)} is needed")
    return allowed[rate]


def _switch(query: dict[str, str], name: str, default: bool) -> bool:
    value = query.pop(name, None)
    if value is None:
        return default
    if value not in SWITCHES:
        raise refused(f"{name}: true or false")
    return SWITCHES[value]


def _pause(query: dict[str, str], name: str, default: int | None) -> int | None:
    """Milliseconds; None: not wanted."""
    value = query.pop(name, None)
    if value is None:
        return default
    if value in SWITCHES:
        return 0 if SWITCHES[value] else None
    if not (value.isascii() and value.isdigit() and len(value) < 7):
        raise refused(f"{name}: milliseconds, or true or false")
    return int(value)
