"""The named errors of the native protocol and the websocket close code that follows each.

This file knows codes. It does not know how an error is found or sent.
"""

from __future__ import annotations

from websockets.frames import CloseCode

CLOSE_CODES: dict[str, CloseCode] = {
    "too_large": CloseCode.MESSAGE_TOO_BIG,
    "bad_json": CloseCode.INVALID_DATA,
    "bad_message": CloseCode.INVALID_DATA,
    "bad_order": CloseCode.PROTOCOL_ERROR,
    "bad_clock": CloseCode.POLICY_VIOLATION,
    "bad_policy": CloseCode.POLICY_VIOLATION,
    "bad_prefix": CloseCode.POLICY_VIOLATION,
    "bad_text": CloseCode.POLICY_VIOLATION,
    "bad_kind": CloseCode.UNSUPPORTED_DATA,
    "bad_rate": CloseCode.POLICY_VIOLATION,
    "bad_pause": CloseCode.POLICY_VIOLATION,
    "unsupported_version": CloseCode.POLICY_VIOLATION,
    "unsupported_language": CloseCode.POLICY_VIOLATION,
    "unsupported_kind": CloseCode.POLICY_VIOLATION,
    "start_timeout": CloseCode.POLICY_VIOLATION,
    "idle_timeout": CloseCode.POLICY_VIOLATION,
    "time_limit": CloseCode.POLICY_VIOLATION,
    "slow_reader": CloseCode.POLICY_VIOLATION,
    "resume_lost": CloseCode.POLICY_VIOLATION,
    "replaced": CloseCode.POLICY_VIOLATION,
    "overloaded": CloseCode.TRY_AGAIN_LATER,
    "draining": CloseCode.GOING_AWAY,
    "internal": CloseCode.INTERNAL_ERROR,
}


class Failure(Exception):
    """A session ends with the error `code`; `text` tells the client what to do.

    An error the engine names and this table does not is passed on as it is and closes with 1008.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text

    @property
    def close_code(self) -> CloseCode:
        return CLOSE_CODES.get(self.code, CloseCode.POLICY_VIOLATION)
