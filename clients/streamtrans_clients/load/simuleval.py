"""A speaker for the agent server of SimulEval: HTTP, one agent, so one session for each server process.

A word is put to `/input`, then what the agent writes is asked for at `/output`, as SimulEval's own remote evaluator
does; both requests are sent at once, and the server answers in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from streamtrans_clients.load.speaker import Speaker


class SimulEval(Speaker):
    """The n-th answer of `/output` comes after n words: they let its words be committed."""

    def __init__(
        self, url: str, items: Iterator[str | bytes], interval: float, until: float
    ) -> None:
        super().__init__(items, interval, until)
        self._host = urlsplit(url).netloc
        self._buffer = b""
        self._answers = 0

    def greet(self) -> None:
        self.start()

    def say(self, item: str | bytes) -> None:
        self._push({"data_type": "text", "content": item, "finished": False})

    def finish(self) -> None:
        self._push({"data_type": None, "is_empty": True, "finished": True})

    def _push(self, segment: dict[str, object]) -> None:
        body = json.dumps(segment).encode()
        self.write(self._request("PUT", "/input", body) + self._request("GET", "/output"))

    def _request(self, method: str, path: str, body: bytes = b"") -> bytes:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (answer := self._answer()) is not None:
            status, body = answer
            self._answers += 1
            if status != 200:
                self.failed(f"HTTP {status}")
            elif self._answers % 2 == 0:
                self._written(json.loads(body), self._answers // 2)

    def _answer(self) -> tuple[int, bytes] | None:
        """The next whole answer: status and body."""
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        return int(first.split()[1]), rest[:length]

    def _written(self, segment: dict[str, object], words: int) -> None:
        content = segment["content"]
        if isinstance(content, str):
            self.committed(words - 1, len(content.split()))
        if segment["finished"]:
            self.finished()
