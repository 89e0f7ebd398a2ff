"""Sound that went out, as far as it may be needed again.

This file knows bytes of PCM, and where words of it end. It does not know the order of messages. A session on another
server begins where the open segment does, so it hears the same words; their times are moved to the clock of the whole
session here.
"""

from __future__ import annotations

from msgspec.structs import replace

from streamtrans.messages import Audio, Command, Segment, Source, Target

MARK_EVERY = 5.0  # s of sound between two marks of our own
SILENCE = 10.0  # s of sound kept when no word was heard in it: one may have begun
FRAME = 32  # ms, of a server's detector of speech: what is heard again begins with one
LONGEST = 600.0  # s of sound kept at most


class SourceAudio:
    """Positions are bytes from the opening of the session; `begin` is where the open segment begins.

    rate: samples a second, of 16 bits.
    """

    def __init__(self, rate: int) -> None:
        self.begin = 0
        self._bytes = rate * 2 / 1000  # of a ms
        self._end = 0
        self._marked = 0  # where the last mark of our own stands
        self._base = 0  # where the session on the server began
        self._cursor = 0  # the end of the last word of the open segment
        self._told = 0.0  # ms, the end of the last word that was handed on
        self._again = False  # words may come that were handed on before

    def sent(self, message: Command) -> int:
        """Where the source stands after this message."""
        if isinstance(message, Audio):
            self._end += len(message.data)
        return self._end

    def mark_due(self) -> bool:
        """Is it time to ask how far the server has heard? Once for each `MARK_EVERY`."""
        if self._end - self._marked < MARK_EVERY * 1000 * self._bytes:
            return False
        self._marked = self._end
        return True

    def read(self, event: Source) -> Source | None:
        """The word on the clock of the whole session, or None when it was handed on before."""
        offset = self._base / self._bytes
        begin = offset + (event.at if event.begin is None else event.begin)
        end = offset + (event.at if event.end is None else event.end)
        self._cursor = self._position(end)
        if self._again and (begin + end) / 2 <= self._told:
            return None
        self._told, self._again = end, False
        return replace(event, at=event.at + offset, begin=begin, end=end)

    def placed(self, event: Target) -> Target:
        """The word on the clock of the whole session."""
        return replace(event, at=event.at + self._base / self._bytes)

    def close(self, event: Segment) -> Segment:
        """The open segment ends where the server says, or else with its last word."""
        if event.end is None:
            self.begin = max(self.begin, self._cursor)
            return event
        end = event.end + self._base / self._bytes
        self.begin = max(self.begin, self._position(end))
        return replace(event, end=end)

    def silent(self, until: int) -> None:
        """All up to `until` was heard, and no word of it is of the open segment."""
        frames = ((until - self._base) / self._bytes - SILENCE * 1000) // FRAME
        self.begin = max(self.begin, self._base + self._position(frames * FRAME))

    def give_up(self) -> bool:
        """Is more kept than may be? Then what is READ is not kept any longer, as if its segment were closed."""
        least = self._position(self._end / self._bytes - LONGEST * 1000)
        if self.begin >= least:
            return False
        self.begin = max(least, self._cursor)
        return True

    def restart(self) -> None:
        """A session on another server begins with the open segment."""
        self._base = self._cursor = self.begin
        self._again = True

    def left(self, message: Command, end: int) -> Command:
        """What of a message that ends at `end` another server needs."""
        if not isinstance(message, Audio):
            return message
        skip = max(0, self.begin - (end - len(message.data)))
        return Audio(message.data[skip:])

    def used_up(self, message: Command, end: int) -> bool:
        """Does the open segment begin behind this message?"""
        return end <= self.begin

    def _position(self, ms: float) -> int:
        """Whole samples."""
        return round(ms * self._bytes / 2) * 2
