"""Chinese in Simplified characters, by OpenCC (extra `chinese`): what models of Chinese read and write.

It knows characters. It does not know corpora or models; what is fed to a live session is not converted.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opencc import OpenCC

# `tw2s` also tells 着 from 著, which `t2s` does not, but takes 么 for a form of the rare 幺
_ONE_FORM = str.maketrans({"幺": "么", "妳": "你"})


class SimplifiedMissing(RuntimeError):
    """OpenCC is not installed."""


def simplified(text: str) -> str:
    """Traditional characters become Simplified ones, others stay. Raises SimplifiedMissing."""
    converted: str = _opencc().convert(text)
    return converted.translate(_ONE_FORM)


@cache
def _opencc() -> OpenCC:
    try:
        from opencc import OpenCC
    except ImportError as error:
        raise SimplifiedMissing(
            "opencc-py is not installed: pip install 'streamtrans[chinese]'"
        ) from error
    return OpenCC("tw2s")
