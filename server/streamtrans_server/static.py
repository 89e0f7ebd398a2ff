"""The files of the web page, read once when the server starts.

This file knows folders, content types and the headers that keep a page in its place. A path is looked up in a table of
the files there are, so no path leads out of the folder. It does not know what is on the page.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from websockets.datastructures import Headers
from websockets.http11 import Response

WEB = Path(__file__).with_name("web")
INDEX = "index.html"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
}

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Access-Control-Allow-Origin": "*",  # the files are public; other pages import the client
}


class StaticFiles:
    """`find` answers a path such as `/` or `/captions.js`, or says None."""

    def __init__(self, folder: Path = WEB) -> None:
        """Raises ValueError for a file whose content type is not known."""
        self._files = {
            "/" + file.relative_to(folder).as_posix(): (_content_type(file), file.read_bytes())
            for file in sorted(folder.rglob("*"))
            if file.is_file() and not file.name.startswith(".")
        }
        if index := self._files.get("/" + INDEX):
            self._files["/"] = index

    def find(self, path: str) -> Response | None:
        """The answer with the file of this path (no query), or None when there is none."""
        found = self._files.get(path)
        if found is None:
            return None
        content_type, body = found
        headers = Headers(HEADERS)
        headers["Content-Type"] = content_type
        headers["Content-Length"] = str(len(body))
        headers["Connection"] = "close"
        return Response(HTTPStatus.OK.value, HTTPStatus.OK.phrase, headers, body)


def _content_type(file: Path) -> str:
    try:
        return TYPES[file.suffix]
    except KeyError:
        raise ValueError(f"{file.name}: no content type for {file.suffix!r} in static.py") from None
