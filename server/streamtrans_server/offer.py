"""What the server translates, and whether a `start` asks for just that.

This file knows languages and kinds. It does not know sessions, nor the engine, which judges policies.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamtrans.messages import PROTOCOL_VERSION, Start
from streamtrans_server.failure import Failure

NO_BREAK = {0xA0: "_", 0x202F: "_"}


@dataclass(frozen=True)
class Offer:
    """One model, and its default policy."""

    model: str
    source: str
    target: str
    kinds: tuple[str, ...]  # text, audio
    rates: tuple[int, ...]  # of audio, samples a second
    policy: str

    def check(self, start: Start, prefix_words: int) -> None:
        """Raises Failure when this is not what the client wants, or its prefix cannot be one."""
        if start.version != PROTOCOL_VERSION:
            text = f"this server speaks version {PROTOCOL_VERSION}, not {start.version}"
            raise Failure("unsupported_version", text)
        if start.kind not in self.kinds:
            raise Failure("unsupported_kind", f"this server takes {' and '.join(self.kinds)}")
        if start.kind == "audio" and start.rate not in self.rates:
            rates = ", ".join(map(str, self.rates))
            raise Failure(
                "bad_rate", f"rate = {start.rate}: audio has one of {rates} samples a second"
            )
        if start.kind != "audio" and start.rate is not None:
            raise Failure("bad_rate", f"a session of {start.kind} has no rate")
        if (start.source, start.target) != (self.source, self.target):
            text = f"this server translates {self.source} to {self.target}"
            raise Failure("unsupported_language", text)
        if len(start.prefix) > prefix_words:
            raise Failure("bad_prefix", f"a prefix has at most {prefix_words} words")
        if not all(map(_is_word, start.prefix)):
            raise Failure("bad_prefix", "a prefix is words without white space")


def _is_word(text: str) -> bool:
    r"""French typography sets a no-break space within a word: `Où\u202f?` is one."""
    return text.translate(NO_BREAK).split() == [text.translate(NO_BREAK)]
