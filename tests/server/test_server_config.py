"""A misspelt option is an error with its name, never a silent default."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest
from streamtrans_server import ConfigError, ServerConfig


def write(folder: Path, text: str) -> Path:
    path = folder / "server.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_and_what_overrides_it(tmp_path: Path) -> None:
    path = write(tmp_path, 'host = "0.0.0.0"\nport = 9000\nidle_timeout = 60\n')
    config = ServerConfig.from_toml(path, port=0, host=None)
    assert config == ServerConfig(host="0.0.0.0", port=0, idle_timeout=60)


def test_without_a_file_there_are_defaults_and_overrides() -> None:
    assert ServerConfig.from_toml(None, port=1, host=None) == ServerConfig(port=1)
    with pytest.raises(ConfigError, match="options: unknown key prot"):
        ServerConfig.from_toml(None, prot=1)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("max_session = 3", "unknown key max_session"),
        ("[server]\nport = 1", "unknown key server"),
        ('port = "80"', "port = '80': must be int"),
        ("port = true", "port = True: must be int"),
        ("max_sessions = 2.5", "max_sessions = 2.5: must be int"),
        ("max_sessions = 0", "max_sessions = 0: must be positive"),
        ("lag_ms = -1.0", "lag_ms = -1.0: must be positive"),
        ("port = 70000", "port = 70000: must be at most"),
        ("lag_ms = nan", "lag_ms = nan: must be finite"),
        ("port = ", "not a TOML file"),
        ("log_text = 1", "log_text = 1: must be bool"),
        ('allowed_origins = "*"', "must be a list of strings"),
        ("allowed_origins = [1]", "must be a list of strings"),
        ('log_format = "xml"', "must be one of text, json"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ServerConfig.from_toml(write(tmp_path, text))


def test_the_example_holds_every_option_with_its_default() -> None:
    path = Path(__file__).parents[2] / "docs" / "deploy" / "server.toml"
    assert ServerConfig.from_toml(path) == ServerConfig()
    written = tomllib.loads(path.read_text(encoding="utf-8"))
    assert set(written) == {field.name for field in dataclasses.fields(ServerConfig)}
