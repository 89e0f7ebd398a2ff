"""What an operator sees: metrics that count what happened, log lines that a machine reads and that hold no words."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from harness import SENTENCE, finish, get, in_loop, rest, send, served, started
from prometheus_client.parser import text_string_to_metric_families
from streamtrans_server.logs import JsonFormatter, PlainFormatter, say


async def metrics(url: str) -> dict[str, float]:
    """Samples by name; labels follow the name."""
    status, headers, body = await get(url, "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    return {
        sample.name + "".join(f":{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


@in_loop
async def test_metrics_count_what_happened() -> None:
    async with served(max_sessions=2) as server, started(server.url) as peer:
        async with started(server.url) as bad:
            await send(bad, {"type": "policy", "policy": "nonsense"})
            await rest(bad)
        await send(peer, {"type": "text", "text": SENTENCE})
        await send(peer, {"type": "mark", "id": "m"})
        while json.loads(await peer.recv())["type"] != "marked":
            pass
        found = await metrics(server.url)
        assert found["streamtrans_sessions"] == 1
        assert found["streamtrans_session_slots"] == 2
        assert found["streamtrans_sessions_opened_total"] == 2
        assert found["streamtrans_errors_total:bad_policy"] == 1
        words = len(SENTENCE.split())
        assert found["streamtrans_committed_words_total"] == words
        assert found["streamtrans_translation_lag_seconds_count"] == words
        assert 0 < found["streamtrans_translation_lag_seconds_sum"] < 60
        assert found["streamtrans_first_word_delay_seconds_count"] == 1
        assert found["streamtrans_step_seconds_count"] > words
        assert found["streamtrans_batch_size_count"] > words
        assert found["streamtrans_backlog_words"] == 0
        assert found["streamtrans_queue"] >= 0
        await send(peer, {"type": "end"})
        assert (await rest(peer))[-1]["type"] == "done"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Where the server's log goes, as JSON."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("streamtrans")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    yield out
    logger.removeHandler(handler)
    logger.setLevel(level)


@in_loop
async def test_no_words_in_the_log_unless_asked_for(lines: io.StringIO) -> None:
    for asked in (False, True):
        async with served(log_text=asked) as server, started(server.url) as peer:
            await send(peer, {"type": "text", "text": SENTENCE})
            assert await finish(peer)
        said = [json.loads(line) for line in lines.getvalue().splitlines()]
        closed = next(line for line in said if line["event"] == "connection_closed")
        assert closed["reason"] == "done" and closed["code"] == 1000 and closed["level"] == "info"
        words = [line["text"] for line in said if line["event"] == "word"]
        assert ("mat." in words, "MAT." in words) == (asked, asked)
        assert ("mat" in lines.getvalue().lower()) is asked


@pytest.mark.parametrize("formatter", [JsonFormatter(), PlainFormatter()])
def test_what_an_exception_says_stays_unsaid(formatter: logging.Formatter) -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    log = logging.Logger("test")
    log.addHandler(handler)
    said = "a user's words"
    try:
        raise ValueError(said)
    except ValueError:
        log.exception("it failed %d times", 2)
    assert "it failed 2 times" in out.getvalue()
    assert "ValueError" in out.getvalue() and "test_operations" in out.getvalue()
    assert said not in out.getvalue()


def test_fields_are_fields_and_percent_signs_are_harmless() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter())
    log = logging.Logger("test")
    log.addHandler(handler)
    say(log, logging.INFO, "hit", where="100%s\n", count=3)
    line = json.loads(out.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "test",
        "event": "hit",
        "where": "100%s\n",
        "count": 3,
    }
