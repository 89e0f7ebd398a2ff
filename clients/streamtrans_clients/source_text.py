"""Source text that went out, as far as it may be needed again.

This file knows text, and where words of it end, in characters from the opening of the session. It does not know the
order of messages.
"""

from __future__ import annotations

from streamtrans.messages import Command, Segment, Source, Target, Text
from streamtrans_clients.errors import SessionFailed


class SourceText:
    """`begin`: where the open segment begins; what lies before it is not needed again."""

    def __init__(self) -> None:
        self.begin = 0
        self._text = ""  # from `begin` on
        self._cursor = 0  # the end of the last word that the session on the server has READ
        self._told = 0  # the end of the last word that was handed on

    def sent(self, message: Command) -> int:
        """Where the source stands after this message."""
        if isinstance(message, Text):
            self._text += message.text
        return self.begin + len(self._text)

    def read(self, event: Source) -> Source | None:
        """The word, or None when it was handed on before. Raises SessionFailed for one that was never sent."""
        place = self._text.find(event.text, self._cursor - self.begin)
        if place < 0:
            raise SessionFailed("bad_server", f"source word {event.index} was never sent")
        self._cursor = self.begin + place + len(event.text)
        if self._cursor <= self._told:
            return None
        self._told = self._cursor
        return event

    def placed(self, event: Target) -> Target:
        """The word on the clock of the whole session: the client's own clock already is."""
        return event

    def close(self, event: Segment) -> Segment:
        """The open segment ends with the last word READ."""
        self._text = self._text[self._cursor - self.begin :]
        self.begin = self._cursor
        return event

    def restart(self) -> None:
        """A session on another server begins with the open segment."""
        self._cursor = self.begin

    def left(self, message: Command, end: int) -> Command:
        """What of a message that ends at `end` another server needs."""
        if not isinstance(message, Text):
            return message
        skip = max(0, self.begin - (end - len(message.text)))
        return Text(message.text[skip:], message.at)

    def used_up(self, message: Command, end: int) -> bool:
        """Is nothing of this message left but white space?"""
        return not isinstance(message, Text) or not self._text[: max(0, end - self.begin)].strip()
