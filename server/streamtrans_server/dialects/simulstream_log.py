"""The log that simulstream's scorers read: JSON lines of what one stream got and when.

This file knows the form of the lines and what their times mean. It does not know messages. A line stands for words
written with the same audio: `total_audio_processed` is how much of it (s) had been taken in, `computation_time` the
time (s) since the last of it had arrived, or since the line before where that is later. So the times of a stream
add up to the time it kept the server busy, and audio + time is when the words were there.
"""

from __future__ import annotations

import logging
import time
import uuid
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import msgspec

from streamtrans_server.logs import say

log = logging.getLogger("streamtrans.server.simulstream")

MOST_FRAMES = 10_000  # whose arrival is remembered


class SimulstreamLog:
    """Of one stream; without a path, or before `begin`, nothing is written."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._id = ""
        self._bytes = 0
        self._heard: list[int] = []  # bytes there were, and
        self._arrived: list[float] = []  # when: s
        self._last = 0.0  # s, time of the last line
        self.rate = 16_000

    def begin(self, metadata: dict[str, Any]) -> None:
        """What the client says of its stream: the scorers want `wav_name` in it."""
        if self._path and isinstance(metadata.get("wav_name"), str):
            self._id = uuid.uuid4().hex
            self._write({"id": self._id, "metadata": metadata})

    def heard(self, size: int) -> None:
        """A frame of audio came."""
        self._bytes += size
        if self._id and size:
            self._heard.append(self._bytes)
            self._arrived.append(time.monotonic())
            if len(self._heard) > MOST_FRAMES:  # nothing was said in them
                del self._heard[0], self._arrived[0]

    def written(self, words: Sequence[str], at: float) -> None:
        """Words go out; at: ms of audio taken in when the last of them was written."""
        if not self._id:
            return
        now = time.monotonic()
        known = bisect_left(self._heard, at / 500 * self.rate)
        arrived = self._arrived[min(known, len(self._arrived) - 1)] if self._arrived else now
        self._line(at / 1000, now - max(arrived, self._last), words)
        self._last = now
        del self._heard[:known], self._arrived[:known]

    def end(self) -> None:
        """All audio was taken in."""
        if self._id:
            self._line(self._bytes / 2 / self.rate, 0.0, ())

    def _line(self, audio: float, computation: float, words: Sequence[str]) -> None:
        self._write(
            {
                "id": self._id,
                "total_audio_processed": round(audio, 3),
                "computation_time": round(computation, 6),
                "generated_tokens": words,
                "deleted_tokens": (),
            }
        )

    def _write(self, line: dict[str, Any]) -> None:
        try:
            with open(self._path, "ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
        except OSError as error:  # a full disk must not end the session
            self._id = ""
            say(log, logging.ERROR, "simulstream_log_failed", error=str(error))
