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


ZERO_ALLOWED = frozenset(
    "port drain_seconds max_sessions_per_token max_sessions_per_address max_messages_per_second"
    " max_session_seconds".split()
)
LEAST_BACKLOG = 4.0  # s: half of it has to be more than one step of a recogniser
CHOICES = {"log_format": ("text", "json"), "log_level": ("debug", "info", "warning", "error")}


@dataclass(frozen=True)
class ServerConfig:
    """Options of `streamtrans serve`. Times are seconds unless the name says ms."""

    host: str = "127.0.0.1"
    port: int = 8765
    max_sessions: int = 1024
    workers: int = 1
    max_message_bytes: int = 16_384
    max_text_bytes: int = 8_192
    max_mark_bytes: int = 256
    max_backlog_words: int = 200
    max_audio_bytes: int = 262_144
    max_backlog_seconds: float = 30.0
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
    resume_timeout: float = 30.0
    max_kept_events: int = 2048
    max_prefix_words: int = 512
    tls_cert: str = ""
    tls_key: str = ""
    tokens_file: str = ""
    allowed_origins: tuple[str, ...] = ()
    max_sessions_per_token: int = 0
    max_sessions_per_address: int = 0
    max_messages_per_second: float = 1000.0
    max_session_seconds: float = 0.0
    drafts: bool = True
    handshake_timeout: float = 10.0
    max_handshakes: int = 512
    log_format: str = "text"
    log_level: str = "info"
    log_text: bool = False
    simulstream_log: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                value = tuple(value)
                object.__setattr__(self, field.name, value)
            _check_type(field.name, value, field.default)
            if not isinstance(value, (str, bool, tuple)):
                _check_number(field.name, value)
        if self.max_backlog_seconds < LEAST_BACKLOG:
            raise ConfigError(
                f"max_backlog_seconds = {self.max_backlog_seconds:g}: must be at least {LEAST_BACKLOG:g}"
            )
        if self.port > 65535:
            raise ConfigError(f"port = {self.port}: must be at most 65535")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ConfigError("tls_cert, tls_key: name both files, or neither")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"{name} = {getattr(self, name)!r}: must be one of {', '.join(choices)}"
                )

    @property
    def max_frame_bytes(self) -> int:
        """What websockets takes at all: up to twice the limits, so that what exceeds them gets an error with a name."""
        return 2 * max(self.max_message_bytes, self.max_audio_bytes)

    @property
    def limits(self) -> dict[str, float]:
        """What `ready` tells a client it may send."""
        return {
            "max_message_bytes": self.max_message_bytes,
            "max_text_bytes": self.max_text_bytes,
            "max_mark_bytes": self.max_mark_bytes,
            "max_backlog_words": self.max_backlog_words,
            "max_audio_bytes": self.max_audio_bytes,
            "max_backlog_seconds": self.max_backlog_seconds,
            "idle_timeout": self.idle_timeout,
            "slow_reader_timeout": self.slow_reader_timeout,
            "resume_timeout": self.resume_timeout,
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
    if isinstance(default, tuple):
        if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{name} = {value!r}: must be a list of strings")
        return
    wanted = (int, float) if isinstance(default, float) else (type(default),)
    if isinstance(value, bool) is not isinstance(default, bool) or not isinstance(value, wanted):
        raise ConfigError(f"{name} = {value!r}: must be {wanted[-1].__name__}")


def _check_number(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ConfigError(f"{name} = {value}: must be finite")
    if value < 0 or (value == 0 and name not in ZERO_ALLOWED):
        raise ConfigError(f"{name} = {value}: must be positive")
