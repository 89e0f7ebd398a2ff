"""Traditional characters become Simplified ones by words, not one by one."""

from __future__ import annotations

import sys

import pytest

from streamtrans.text import simplified as module
from streamtrans.text.simplified import SimplifiedMissing, simplified

pytest.importorskip("opencc", reason="the extra chinese is not installed")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今天天氣很好。", "今天天气很好。"),
        ("皇后在後面", "皇后在后面"),
        ("乾淨的頭髮和麵條", "干净的头发和面条"),
        ("乾隆", "乾隆"),
        ("看著我", "看着我"),
        ("著名的著作", "著名的著作"),
        ("你带来了么", "你带来了么"),
        ("妳好, Tom!", "你好, Tom!"),
    ],
)
def test_it_becomes_simplified(text: str, expected: str) -> None:
    """著 is 着 where it marks what goes on; a table that knows that turned 么 into 幺."""
    assert simplified(text) == expected
    assert simplified(expected) == expected


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module._opencc.cache_clear()
    monkeypatch.setitem(sys.modules, "opencc", None)
    with pytest.raises(SimplifiedMissing, match="streamtrans\\[chinese\\]"):
        simplified("好")
