"""Sound is heard in rounds: sooner where few sessions hear, together where many do, and nothing else waits."""

from __future__ import annotations

import pytest
from streamtrans_server.hearing_pace import EACH, MOST, HearingPace


def test_a_round_is_longer_the_more_sessions_hear_up_to_a_bound() -> None:
    pace = HearingPace()
    assert pace.rest(5.0) == 0
    pace.heard(5.0, 1)
    assert pace.rest(5.0) == pytest.approx(EACH) and pace.rest(5.0 + EACH + 1e-6) == 0
    pace.heard(6.0, 50)
    assert pace.rest(6.01) == pytest.approx(50 * EACH - 0.01)
    pace.heard(7.0, 10_000)
    assert pace.rest(7.0) == pytest.approx(MOST) and pace.rest(7.0 + 2 * MOST) == 0
