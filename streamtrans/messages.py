"""The messages of a session: what goes into it and what comes out, one set for engine, server and clients.

This file knows the shape of each message and its JSON form (a `type` field names the message, an unknown field
is refused). It does not know who sends it where, nor in which order messages are allowed.

Times are milliseconds. `at` is the source clock: for text, when the source word it speaks of was typed, counted from
the opening of the session; for audio, how much of it had been taken in. `seq` numbers the events of one session from 1
without gaps; `Draft` has none.
"""

from __future__ import annotations

import msgspec

PROTOCOL_VERSION = 1


class Message(
    msgspec.Struct,
    frozen=True,
    kw_only=False,
    tag_field="type",
    tag=lambda name: name.lower(),
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """A value that travels; `type` in its JSON form is the class name in lower case."""


# --- into a session -------------------------------------------------------------------------------


class Start(Message, frozen=True):
    """Open a session. `policy` None takes the server's default; `kind` is text or audio.

    keep: hold the session for a while when the connection drops (`Ready.token` is then the key to it).
    prefix: committed words of the open segment of a session that was lost with its server; the same words are written
    again first, and the client sends the source of that segment again.
    lag_policy: the policy to change to while the session lags.
    rate: samples a second of audio, which comes as binary messages of 16 bit little-endian PCM, one channel.
    drafts: send `Draft`, too, as far as the server makes them.
    pause: ms of silence that end a segment of speech, None: as many as the server likes.
    """

    version: int
    source: str
    target: str
    kind: str = "text"
    policy: str | None = None
    keep: bool = False
    prefix: tuple[str, ...] = ()
    lag_policy: str | None = None
    rate: int | None = None
    drafts: bool = False
    pause: int | None = None


class Text(Message, frozen=True):
    """Source text as it is produced, in pieces of any size: white space completes a word.

    `at` is the source clock of this piece in ms; without it the receiver's own clock is used.
    """

    text: str
    at: float | None = None


class Audio(Message, frozen=True):
    """Sound as it is heard, in pieces of any size: 16-bit little-endian PCM, one channel, `Start.rate` a second.

    It travels as a binary frame, not as JSON.
    """

    data: bytes


class Flush(Message, frozen=True):
    """Finish the open segment: all that was fed is translated and committed; the session stays open."""


class Mark(Message, frozen=True):
    """Ask for `Marked` with the same id once everything fed before it is committed (implies no flush)."""

    id: str


class SetPolicy(Message, frozen=True, tag="policy"):
    """Change the policy in the middle of a session, from the next READ/WRITE decision on."""

    policy: str


class End(Message, frozen=True):
    """No more source: flush, then `Done`."""


class Ack(Message, frozen=True):
    """All events up to `seq` have arrived and need not be kept."""

    seq: int


# --- out of a session -----------------------------------------------------------------------------


class Ready(Message, frozen=True):
    """The session is open, or open again. `limits` names what the server accepts (bytes, words, seconds).

    token: what to come back with, when the session is kept. received: how many messages after `Start` (each but `Ack`
    counts) the session has taken; the client goes on with the next one.
    """

    version: int
    session: str
    model: str
    source: str
    target: str
    kind: str
    policy: str
    limits: dict[str, float]
    token: str | None = None
    received: int = 0


class Source(Message, frozen=True):
    """A source word was READ: `index` counts the words of the session from 0.

    begin, end: where a spoken word lies in the audio of the session.
    """

    seq: int
    text: str
    index: int
    at: float
    begin: float | None = None
    end: float | None = None


class Target(Message, frozen=True):
    """A target word was committed, never to be revised.

    `read` source words of the session had been READ when it was written, the last of them at `at`.
    `emitted` is the server's clock at sending, ms since the session opened (None inside the library).
    """

    seq: int
    text: str
    index: int
    read: int
    at: float
    emitted: float | None = None


class Segment(Message, frozen=True):
    """A sentence-like unit is closed: all its source is READ, all its target committed (running totals).

    end: where it ends in the audio of the session; what is heard from there on is of the next one.
    """

    seq: int
    source_words: int
    target_words: int
    end: float | None = None


class Marked(Message, frozen=True):
    """Everything fed before the `Mark` with this id has been READ and what the policy allows is committed."""

    seq: int
    id: str


class Changed(Message, frozen=True):
    """The policy is `policy` from source word `index` on; `lag`: not on demand, but because the session lags or no
    longer does."""

    seq: int
    policy: str
    index: int
    lag: bool = False


class Lag(Message, frozen=True):
    """The session fell behind: the oldest word not yet READ, or sound not yet heard, has waited `ms`."""

    seq: int
    ms: float


class Draft(Message, frozen=True):
    """What may come next and may also not: words heard and not READ, the last perhaps by half, and words that would be
    written if no more were READ. It takes the place of the draft before it, is no event to be numbered or kept, and is
    left out where time is short.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]


class Done(Message, frozen=True):
    """The answer to `End`: nothing follows."""

    seq: int
    source_words: int
    target_words: int


class Error(Message, frozen=True):
    """The session ends here; `code` is stable and documented, `text` says what to do."""

    code: str
    text: str


Control = Text | Flush | Mark | SetPolicy | End
Command = Audio | Control
Event = Source | Target | Segment | Marked | Changed | Lag | Draft | Done | Error
FromClient = Start | Ack | Control  # as JSON
FromServer = Ready | Event
