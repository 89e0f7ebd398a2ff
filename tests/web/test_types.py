"""streamtrans.d.ts says what messages.py and streamtrans.js say."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import streamtrans_server

from streamtrans import messages

WEB = Path(streamtrans_server.__file__).with_name("web")
TYPES = (WEB / "streamtrans.d.ts").read_text()
CLIENT = (WEB / "streamtrans.js").read_text()
NAMES = {"str": "string", "int": "number", "float": "number", "bool": "boolean"}


def interface(name: str) -> dict[str, tuple[str, bool]]:
    """Type and "may be missing" of each field of an interface, `type` aside."""
    found = re.search(rf"interface {name}( extends Numbered)? {{(.*?)\n}}", TYPES, re.S)
    assert found, name
    fields = re.findall(r"^  (\w+)(\??): ([^;]+);", found[2], re.M)
    numbered = {"seq": ("number", False)} if found[1] else {}
    return numbered | {key: (kind, opt == "?") for key, opt, kind in fields if key != "type"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Ready", messages.Ready),
        ("Source", messages.Source),
        ("Target", messages.Target),
        ("Segment", messages.Segment),
        ("Marked", messages.Marked),
        ("Changed", messages.Changed),
        ("Lag", messages.Lag),
        ("Draft", messages.Draft),
        ("Done", messages.Done),
        ("Failure", messages.Error),
    ],
)
def test_messages_have_the_fields_of_the_protocol(name: str, message: type[msgspec.Struct]) -> None:
    """A field with a default is left out of the JSON when it has it, so it may be missing."""
    said = interface(name)
    for field in msgspec.structs.fields(message):
        kind, optional = said.pop(field.encode_name)
        assert optional is not field.required, field.name
        plain = str(field.type).removeprefix("<class '").removesuffix("'>").partition(" |")[0]
        if plain in NAMES and field.name != "kind":
            assert kind == NAMES[plain], field.name
    assert said == {}


def test_every_public_member_of_the_session_is_declared() -> None:
    declared = re.search(r"class Session {(.*?)\n}", TYPES, re.S)
    assert declared
    members = set(re.findall(r"^  (?:readonly )?(\w+)[(:<]", declared[1], re.M))
    methods = set(re.findall(r"^  (?:get )?([a-z]\w*)\(.*\) {$", CLIENT, re.M))
    fields = set(re.findall(r"^    this\.(\w+) = ", CLIENT, re.M)) - {"name", "code", "text"}
    assert members == methods | fields
