"""What the Dockerfile, the unit and the pages name must exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKE = shutil.which("make")


def dry(*target: str) -> str:
    """What make would run."""
    assert MAKE is not None
    command = [MAKE, "--dry-run", "--always-make", *target]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout


def targets(text: str) -> set[str]:
    """Arguments of each `make` that is written as a command."""
    return set(re.findall(r"^(?:RUN|    )\s*make ([a-z-]+(?: [A-Z]+=\S*)*)", text, re.MULTILINE))


@pytest.mark.skipif(MAKE is None, reason="no make")
@pytest.mark.parametrize("page", ["Dockerfile", "docs/deployment.md", "CONTRIBUTING.md"])
def test_every_make_that_is_written_down_can_be_run(page: str) -> None:
    found = targets((ROOT / page).read_text())
    assert found
    for target in found:
        assert dry(*target.split(" "))


@pytest.mark.skipif(MAKE is None, reason="no make")
def test_the_image_is_set_up_as_make_does_without_the_tools_of_tests() -> None:
    assert "make setup EXTRAS=\n" in (ROOT / "Dockerfile").read_text()
    assert "-c constraints.txt -e '.'" in dry("setup", "EXTRAS=")
    assert "-c constraints.txt -e '.[dev]'" in dry("setup")


def test_files_that_the_pages_name_are_there() -> None:
    for page in ("docs/deployment.md", "docs/server.md", "docs/clients.md"):
        text = (ROOT / page).read_text()
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert (ROOT / "docs" / link).exists(), f"{page}: {link}"
        for file in re.findall(r"\bdocs/\S+\.(?:toml|service|md)", text):
            assert (ROOT / file).exists(), f"{page}: {file}"


def test_a_stop_outlasts_the_draining() -> None:
    from streamtrans_server import ServerConfig

    unit = (ROOT / "docs/deploy/streamtrans.service").read_text()
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop and int(stop[1]) > ServerConfig.drain_seconds + ServerConfig.close_timeout
