"""Runs `streamtrans` as a user does: in this process, or in one of its own."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fakes
from typer.testing import CliRunner, Result

from streamtrans.cli import app
from streamtrans.models import checkpoint

COMMAND = [sys.executable, "-m", "streamtrans"]
LIMIT = 60.0  # s for anything a process has to say


def run(*arguments: object) -> Result:
    """A command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, *says: str) -> None:
    """Exit code 2 and one line that says why."""
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("streamtrans: ") and result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in says), result.stderr


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a process of its own, ended with the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *arguments], stdin=pipe, stdout=pipe, stderr=pipe) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.terminate()


def say(child: subprocess.Popen[bytes], text: bytes) -> None:
    assert child.stdin is not None
    child.stdin.write(text)
    child.stdin.flush()


def hear(child: subprocess.Popen[bytes]) -> bytes:
    """What comes next on standard output."""
    assert child.stdout is not None
    assert select.select([child.stdout], [], [], LIMIT)[0], "nothing came"
    return os.read(child.stdout.fileno(), 4096)


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """The address of `streamtrans serve` with these options, on a free port."""
    with process("serve", "--port", "0", *options) as child:
        line = ""
        while not line.endswith("\n"):  # unbuffered, the end of the line is a write of its own
            line += hear(child).decode()
        assert line.startswith("listening on ws://127.0.0.1:") and line.endswith("/v1/translate\n")
        yield line.removeprefix("listening on ").strip()
        child.terminate()
        assert child.wait(LIMIT) == 0


def save_toy(folder: Path) -> Path:
    """A checkpoint that translates nothing."""
    model = fakes.model()
    checkpoint.save(folder, model.config, fakes.vocabulary(), model.state_dict())
    return folder


def save_toy_recognizer(folder: Path) -> Path:
    """One that hears words at random, the same for the same sound."""
    ear = fakes.recognizer()
    checkpoint.save(folder, ear.config, fakes.spoken_vocabulary(), ear.state_dict())
    return folder
