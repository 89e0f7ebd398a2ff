"""Every option of the server with its default, and how a TOML file sets them.

This file knows names, units and ranges. It does not know the command line, nor what an option does.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path


class ConfigError(ValueError):
    """The configuration cannot be used: an unknown key, a wrong type or a value out of range."""


@dataclass(frozen=True)
class ServerConfig:
    """Options of `streamtrans serve`. Times are seconds unless the name says ms."""

    host: str = "127.0.0.1"
    port: int = 8765
    max_sessions: int = 1024
    max_message_bytes: int = 16_384
    max_text_bytes: int = 8_192
    max_mark_bytes: int = 256
    max_backlog_words: int = 200
    start_timeout: float = 10.0
    idle_timeout: float = 300.0
    slow_reader_timeout: float = 30.0
    close_timeout: float = 5.0
    ping_interval: float = 20.0
    ping_timeout: float = 60.0
    retry_after: int = 1
    drain_seconds: float = 20.0
    lag_ms: float = 1000.0
    write_buffer_bytes: int = 16_384
    socket_buffer_bytes: int = 65_536

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            _check_type(field.name, value, field.default)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{field.name} = {value}: must be finite")
            zero_allowed = field.name in ("port", "drain_seconds")
            if not isinstance(value, str) and (value < 0 or (value == 0 and not zero_allowed)):
                raise ConfigError(f"{field.name} = {value}: must be positive")
        if self.port > 65535:
            raise ConfigError(f"port = {self.port}: must be at most 65535")

    @property
    def limits(self) -> dict[str, float]:
        """What `ready` tells a client it may send."""
        return {
            "max_message_bytes": self.max_message_bytes,
            "max_text_bytes": self.max_text_bytes,
            "max_mark_bytes": self.max_mark_bytes,
            "max_backlog_words": self.max_backlog_words,
            "idle_timeout": self.idle_timeout,
            "slow_reader_timeout": self.slow_reader_timeout,
        }

    @classmethod
    def from_toml(cls, path: str | Path | None, **overrides: object) -> ServerConfig:
        """The options of a TOML file (flat keys), or none; an override that is not None wins.

        Raises ConfigError on an unknown key, a wrong type, a value out of range or a file that is
        not TOML; OSError when the file cannot be read.
        """
        values: dict[str, object] = {}
        try:
            if path is not None:
                values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not a TOML file: {error}") from error
        values |= {name: value for name, value in overrides.items() if value is not None}
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            where = path or "options"
            raise ConfigError(
                f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(known)}"
            )
        return cls(**values)  # type: ignore[arg-type]  # __post_init__ checks


def _check_type(name: str, value: object, default: object) -> None:
    wanted = (int, float) if isinstance(default, float) else (type(default),)
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise ConfigError(f"{name} = {value!r}: must be {wanted[-1].__name__}")
