"""API tokens and origins: whose request this is, and whether its page may speak to this server.

This file knows tokens, headers and the file that lists them. It does not know sessions. Tokens are compared as digests
and in constant time, all of them each time, so that no answer tells how near a guess was.
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.datastructures import Headers

from streamtrans_server.config import ConfigError

SHORTEST = 16  # characters of a token
SCHEMES = ("bearer", "token")
KEY_SUBPROTOCOL = "openai-insecure-api-key."
WHOLE = {"max_sessions": True, "max_messages_per_second": False}  # limits: are they whole numbers?


@dataclass(frozen=True)
class Account:
    """Whoever holds a token. Limits of 0 are none: sessions at once, messages a second of one session."""

    name: str
    max_sessions: int = 0
    max_messages_per_second: float = 0.0


class Accounts:
    """`find` says who presents a token. Without any token, everybody is the same account."""

    def __init__(self, accounts: Sequence[tuple[bytes, Account]], default: Account) -> None:
        self._accounts = accounts  # (SHA-256 of the token, account)
        self._default = default

    @classmethod
    def load(cls, path: str, variable: str | None, default: Account) -> Accounts:
        """From a TOML file with `[[token]]` tables, and one more token from the environment.

        default: the limits of an account that names none. Raises ConfigError and OSError.
        """
        accounts = [_account(table, default) for table in _tables(path)] if path else []
        if variable is not None:
            accounts.append(_account({"name": "environment", "token": variable}, default))
        names = [account.name for _, account in accounts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"tokens: the name {twice[0]} comes twice")
        return cls(accounts, default)

    def find(self, token: str) -> Account | None:
        """The account of this token, None when there is none."""
        if not self._accounts:
            return self._default
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        found = None
        for known, account in self._accounts:
            if hmac.compare_digest(known, digest):
                found = account
        return found


def presented(headers: Headers, query: dict[str, str]) -> str:
    """The token of a request: `Authorization: Bearer` (or `Token`), or where a browser can set no header `access_token`
    of the query or a subprotocol: `openai-insecure-api-key.TOKEN`, or `token` and then TOKEN."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() in SCHEMES:
        return token.strip()
    lines = headers.get_all("Sec-WebSocket-Protocol")
    offered = [name.strip() for line in lines for name in line.split(",")]
    for name in offered:
        if name.startswith(KEY_SUBPROTOCOL):
            return name.removeprefix(KEY_SUBPROTOCOL)
    if len(offered) == 2 and offered[0] in SCHEMES:
        return offered[1]
    return query.get("access_token", "")


def origin_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """Browsers name the origin of the page. Its own page may connect, and those listed; "*" lets all in."""
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return host is not None and urlsplit(origin).netloc == host


def _tables(path: str) -> list[dict[str, object]]:
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    tables = found.pop("token", [])
    if found or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ConfigError(f"{path}: must hold [[token]] tables and nothing else")
    if not tables:
        raise ConfigError(f"{path}: holds no token")
    return tables


def _account(table: dict[str, object], default: Account) -> tuple[bytes, Account]:
    values = dict(table)
    token, name = values.pop("token", None), values.pop("name", None)
    if not isinstance(name, str) or not name:
        raise ConfigError("tokens: each needs a name")
    if not isinstance(token, str) or len(token) < SHORTEST:
        raise ConfigError(f"tokens: {name}: a token has at least {SHORTEST} characters")
    limits: dict[str, Any] = {key: getattr(default, key) for key in WHOLE}
    for key, value in values.items():
        if key not in WHOLE:
            raise ConfigError(f"tokens: {name}: unknown key {key}; known are {', '.join(WHOLE)}")
        kind = int if WHOLE[key] else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not value >= 0:
            raise ConfigError(f"tokens: {name}: {key} = {value!r}: must be a number, 0: no limit")
        limits[key] = value
    return hashlib.sha256(token.encode()).digest(), Account(name, **limits)
