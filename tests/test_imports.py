"""Who may import whom: ARCHITECTURE.md as a test, read from the sources without running them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"streamtrans", "streamtrans_server", "streamtrans_clients"}
EDGES = {
    "streamtrans/cli.py",
    "streamtrans/cli_live.py",
    "streamtrans/demo.py",
    "streamtrans/live.py",
    "streamtrans/load_trial.py",
}  # where the library meets server, clients and event loops
OUTSIDE = {"asyncio", "threading", "websockets", "sounddevice", "uvloop", "socket"}


def imports(file: Path) -> Iterator[str]:
    """Full names of all that a file imports, anywhere in it."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide who imports whom"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(folder: str) -> Iterator[tuple[str, str]]:
    """(file, imported) for all that the files of a folder, or one file, import of our packages."""
    place = ROOT / folder
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    assert files and all(file.exists() for file in files), f"no such code: {folder}"
    for file in files:
        for name in imports(file):
            if name.split(".")[0] in OURS:
                yield str(file.relative_to(ROOT)), name


def within(name: str, allowed: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in allowed)


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("streamtrans/nn", {"streamtrans.nn"}),
        ("streamtrans/messages.py", set()),
        ("streamtrans/policy.py", set()),
        ("streamtrans/text", {"streamtrans.text"}),
        ("streamtrans/models", {f"streamtrans.{p}" for p in ("models", "nn", "audio", "text")}),
        (
            "streamtrans/engine",
            {
                f"streamtrans.{p}"
                for p in ("engine", "policy", "models", "nn", "audio", "text", "messages")
            },
        ),
        ("clients", {"streamtrans_clients", "streamtrans.messages", "streamtrans.audio"}),
    ],
)
def test_a_part_knows_no_more_than_it_may(folder: str, allowed: set[str]) -> None:
    """`from streamtrans import policy` is as good as `from streamtrans.policy import ...`."""
    found = [(file, name) for file, name in ours(folder) if not within(name, allowed)]
    assert found == []


def test_server_and_clients_never_import_each_other() -> None:
    assert not [name for _, name in ours("server") if name.startswith("streamtrans_clients")]
    assert not [name for _, name in ours("clients") if name.startswith("streamtrans_server")]


def test_the_library_knows_neither_but_in_its_command() -> None:
    for file, name in ours("streamtrans"):
        if file not in EDGES:
            assert name.split(".")[0] == "streamtrans", f"{file} imports {name}"


def test_the_library_has_no_sockets_threads_or_devices() -> None:
    for file in sorted((ROOT / "streamtrans").rglob("*.py")):
        if str(file.relative_to(ROOT)) not in EDGES:
            found = {name.split(".")[0] for name in imports(file)} & OUTSIDE
            assert not found, f"{file} imports {found}"


def test_messages_come_without_torch() -> None:
    """A client that shows words must start at once, on a machine that has no torch."""
    code = "import sys, streamtrans, streamtrans.messages; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "streamtrans.messages" in loaded
    assert not loaded & {"torch", "numpy", "sentencepiece", "websockets", "asyncio"}


@pytest.mark.parametrize("file", sorted((ROOT / "bench").glob("*.py")), ids=lambda file: file.stem)
def test_what_a_benchmark_imports_is_there(file: Path) -> None:
    """They run seldom: a name that is gone would be found late."""
    for name in imports(file):
        module, _, what = name.rpartition(".")
        if not any(name.split(".")[0] == top for top in (*OURS, "bench")):
            continue
        found = importlib.util.find_spec(name) if _is_module(name) else None
        assert found or hasattr(importlib.import_module(module), what), f"{file}: no {name}"


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
