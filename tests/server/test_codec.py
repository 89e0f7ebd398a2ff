"""Any frame is one message or one named error, and nothing else."""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamtrans_server.codec import decode, encode
from streamtrans_server.failure import CLOSE_CODES, Failure

from streamtrans.messages import Audio, End, Message, Target, Text

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
KEYS = st.sampled_from(["type", "text", "at", "id", "policy", "version", "source", "target", "x"])
TYPES = st.sampled_from(["start", "text", "flush", "mark", "policy", "end", "error"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | TYPES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


def check(frame: bytes) -> None:
    try:
        message = decode(frame)
    except Failure as failure:
        assert failure.code in ("bad_json", "bad_message")
        assert failure.text
    else:
        assert isinstance(message, Message)
        assert decode(msgspec.json.encode(message)) == message


@settings(max_examples=EXAMPLES or 150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(frame: bytes) -> None:
    check(frame)


@settings(max_examples=EXAMPLES or 150, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5), TYPES)
def test_any_object(fields: dict[str, Any], kind: str) -> None:
    check(json.dumps({**fields, "type": kind}).encode())


@settings(max_examples=EXAMPLES or 60, deadline=None)
@given(st.data())
def test_a_damaged_message(data: st.DataObject) -> None:
    frame = bytearray(b'{"type":"text","text":"one two ","at":12.5}')
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(frame))


def test_messages_are_read_as_they_are_documented() -> None:
    assert decode(b'{"type":"text","text":"a"}') == Text("a")
    assert decode(b' {"type" : "end"}\n') == End()
    with pytest.raises(Failure, match="bad_message"):
        decode(b'{"type":"end","why":"no"}')
    assert decode(memoryview(b"\0\1\2"), binary=True) == Audio(b"\0\1\2")


def test_only_a_committed_word_is_stamped() -> None:
    word = Target(4, "chat", 1, 3, 900.0)
    assert json.loads(encode(word, 950.5)) == {
        **{"type": "target", "seq": 4, "text": "chat", "index": 1},
        **{"read": 3, "at": 900.0, "emitted": 950.5},
    }
    assert b"emitted" not in encode(Text("a"), 950.5)  # type: ignore[arg-type]


def test_an_error_of_the_engine_that_has_no_name_here_still_closes() -> None:
    assert Failure("too_odd", "").close_code == 1008
    assert all(1000 <= code < 1016 for code in CLOSE_CODES.values())
