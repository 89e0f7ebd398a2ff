"""The examples of docs/dialects.md, run as they stand there."""

from __future__ import annotations

import asyncio
import re
import sys
import wave
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fake_speech import speech
from harness import in_loop, served

PAGE = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text()
EXAMPLES = re.findall(r"^## (.*?)$[^#]*?^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PRINTED = {
    "OpenAI Realtime translation": "ONE TWO THREE",
    "OpenAI Realtime transcription": "one two three\n",
    "Deepgram": "0.0 one two\n0.28 three\n",
}


def test_every_client_has_an_example() -> None:
    assert [name for name, _ in EXAMPLES] == list(PRINTED)


@pytest.mark.parametrize(("name", "code"), EXAMPLES, ids=PRINTED)
def test_an_example_runs(name: str, code: str, tmp_path: Path) -> None:
    @in_loop
    async def run() -> None:
        with wave.open(str(tmp_path / "speech.wav"), "wb") as file:
            file.setparams((1, 2, 24_000, 0, "NONE", ""))
            file.writeframes(speech("one two. three.", 24_000))
        async with served() as server:
            script = code.replace("127.0.0.1:8765", urlsplit(server.url).netloc)
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "ignore", "-c", script),
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await program.communicate()
            assert out.decode() == PRINTED[name], err.decode()

    run()
