"""The page comes from the port of the websocket, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import get, in_loop, served
from streamtrans_server.static import StaticFiles

from streamtrans.audio.resample import RATES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    web = tmp_path / "web"
    (web / "parts").mkdir(parents=True)
    (web / "index.html").write_text("<!doctype html><p>hé</p>", encoding="utf-8")
    (web / "parts" / "a.js").write_text("export const a = 1;")
    (web / ".hidden.js").write_text("hidden")
    return web


@in_loop
async def test_files_have_their_type_and_keep_the_page_in_its_place(folder: Path) -> None:
    async with served() as server:
        server.app.static = StaticFiles(folder)
        status, headers, body = await get(server.url, "/?debug=1")
        assert (status, body) == (200, "<!doctype html><p>hé</p>")
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert headers["content-length"] == str(len(body.encode()))
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert (await get(server.url, "/index.html"))[2] == body
        status, headers, body = await get(server.url, "/parts/a.js")
        assert (status, body) == (200, "export const a = 1;")
        assert headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/parts/../../secret.txt",
        "/%2e%2e/secret.txt",
        "//secret.txt",
        "/.hidden.js",
        "/parts",
    ],
)
@in_loop
async def test_no_path_leads_out(folder: Path, path: str) -> None:
    async with served() as server:
        server.app.static = StaticFiles(folder)
        status, _, body = await get(server.url, path)
        assert status == 404
        assert "secret" not in body and "hidden" not in body


def test_a_file_without_a_known_type_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.php").write_text("")
    with pytest.raises(ValueError, match=r"page\.php"):
        StaticFiles(tmp_path)


def test_the_files_that_are_shipped_load() -> None:
    StaticFiles()


@in_loop
async def test_the_models_are_told_before_a_session_is_taken() -> None:
    async with served() as server:
        status, headers, body = await get(server.url, "/v1/models")
        assert (status, headers["content-type"]) == (200, "application/json")
        (model,) = json.loads(body)["models"]
        assert model == {
            **{"model": "en-fr", "source": "en", "target": "fr"},
            **{"kinds": ["text", "audio"], "rates": list(RATES), "policy": "wait-3"},
        }
