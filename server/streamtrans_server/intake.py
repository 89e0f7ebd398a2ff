"""What a client may say in a session of the native protocol, and when.

It knows the order of messages, their limits and the clock of the source. It does not know events, connections or the
engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from streamtrans.messages import Audio, Command, End, Flush, Mark, Start, Text
from streamtrans_server.config import ServerConfig
from streamtrans_server.failure import Failure

CHARACTERS = 8  # of one unit of work, at least: a text may hold words that no white space parts


class Intake:
    """Of one session. audio: it takes sound, not text. clock: ms since it opened. received: messages after `start`."""

    def __init__(self, audio: bool, config: ServerConfig, clock: Callable[[], float]) -> None:
        self.received = 0
        self._audio, self._config, self._clock = audio, config, clock
        self._at = 0.0  # ms, source clock of the last Text
        self._ended = False
        self._unflushed = False  # source came after the last flush

    def take(self, message: Start | Command) -> tuple[Command, int] | None:
        """What the engine is to do, and how much work it is; None if that is nothing. Raises Failure for what may not
        come now.
        """
        if isinstance(message, Start):
            raise Failure("bad_order", "start may come only once")
        if self._ended:
            raise Failure("bad_order", "nothing may follow end")
        if isinstance(message, Text):
            found: tuple[Command, int] | None = self._text(message)
        elif isinstance(message, Audio):
            found = self._sound(message)
        else:
            found = self._control(message)
        self.received += 1
        return found

    def _sound(self, message: Audio) -> tuple[Audio, int]:
        size, limit = len(message.data), self._config.max_audio_bytes
        if not self._audio:
            raise Failure("bad_kind", "this session takes text, not audio")
        if size > limit:
            raise Failure("too_large", f"one frame of audio holds at most {limit} bytes")
        self._unflushed |= size > 0
        return message, 1

    def _text(self, message: Text) -> tuple[Text, int]:
        if self._audio:
            raise Failure("bad_kind", "this session takes audio, not text")
        text, at = message.text, message.at
        limit = self._config.max_text_bytes
        if len(text) * 4 > limit and len(text.encode()) > limit:
            raise Failure("bad_text", f"one text message holds at most {limit} bytes")
        if at is None:
            at = max(self._at, self._clock())
            message = Text(text, at)
        elif not (math.isfinite(at) and at >= self._at):
            raise Failure("bad_clock", f"at = {at}: must be finite and at least {self._at}")
        self._at = at
        words = len(text.split())
        if words:
            self._unflushed = True
        # without white space, too, a text is work: an engine cuts what is too long for a word
        return message, max(words, len(text) // CHARACTERS, 1)

    def _control(self, message: Command) -> tuple[Command, int] | None:
        if isinstance(message, Flush):
            if not self._unflushed:
                return (
                    None  # a flood of these would leave no trace in the events and so have no bound
                )
            self._unflushed = False
        elif isinstance(message, Mark):
            limit = self._config.max_mark_bytes
            if len(message.id.encode()) > limit:
                raise Failure("bad_message", f"a mark's id holds at most {limit} bytes")
        elif isinstance(message, End):
            self._ended = True
        return message, 1
