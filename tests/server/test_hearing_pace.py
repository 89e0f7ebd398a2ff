"""Sound is heard in rounds: sooner where few sessions hear, together where many do, until nothing is left."""

from __future__ import annotations

import pytest
from streamtrans_server.hearing_pace import EACH, MOST, HearingPace


def test_a_round_is_longer_the_more_sessions_hear_up_to_a_bound() -> None:
    pace = HearingPace()
    assert pace.rest(5.0) == 0
    pace.heard(5.0, 1, 0)
    assert pace.rest(5.0) == pytest.approx(EACH) and pace.rest(5.0 + EACH + 1e-6) == 0
    pace.heard(6.0, 50, 0)
    assert pace.rest(6.01) == pytest.approx(50 * EACH - 0.01)
    pace.heard(7.0, 10_000, 0)
    assert pace.rest(7.0) == pytest.approx(MOST) and pace.rest(7.0 + 2 * MOST) == 0


def test_a_round_goes_on_until_all_sound_is_heard() -> None:
    """However little a step takes of each session, and however many there are, no sound waits for a second round."""
    pace = HearingPace()
    for step in range(4):
        assert pace.rest(1.0 + 0.01 * step) == 0
        pace.heard(1.0 + 0.01 * step, 1_000, 3 - step)
    assert pace.rest(1.04) == pytest.approx(MOST - 0.04)  # counted from where the round began
