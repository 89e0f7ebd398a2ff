"""One state for each heard piece: the weighted mean of the frames since the piece before it, however they come."""

from __future__ import annotations

import fakes
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from streamtrans.models.ctc import CTCWords
from streamtrans.models.piece_states import PieceStates, States, end, evidence
from streamtrans.models.recognizer import BLANK

FRAMES, DIM = 60, 5


def spoken(seed: int = 0) -> tuple[Tensor, Tensor, list[int]]:
    """States, logits and labels of one stream; half of the labels are blank."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, fakes.spoken_vocabulary().size, (FRAMES,), generator=g)
    labels[torch.rand(FRAMES, generator=g) < 0.5] = BLANK
    logits = torch.randn(FRAMES, fakes.spoken_vocabulary().size, generator=g).double()
    logits[torch.arange(FRAMES), labels] = 6.0
    return torch.randn(FRAMES, DIM, generator=g).double(), logits, labels.tolist()


def words() -> CTCWords:
    return CTCWords(fakes.spoken_vocabulary(), fakes.HEARD, "en")


def by_hand(states: Tensor, logits: Tensor, labels: list[int]) -> list[Tensor]:
    """The state of each piece."""
    said, found, last = 1 - logits.softmax(-1)[:, BLANK], [], 0
    for t, label in enumerate(labels):
        if label != BLANK and (t == 0 or label != labels[t - 1]):
            weights = said[last : t + 1] / said[last : t + 1].sum()
            found.append(weights @ states[last : t + 1])
            last = t + 1
    return found


def test_a_piece_is_the_weighted_mean_of_the_frames_since_the_last_one() -> None:
    states, logits, labels = spoken()
    stream = words()
    heard = stream.feed(labels, evidence(states, logits)) + stream.flush()
    assert len(heard) > 5
    expected = torch.stack(by_hand(states, logits, labels))
    actual = np.concatenate([word.states for word in heard if word.states is not None])
    torch.testing.assert_close(torch.from_numpy(actual), expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20), st.sets(st.integers(1, FRAMES - 1)))
def test_any_cutting_gives_the_same_states(seed: int, cuts: set[int]) -> None:
    states, logits, labels = spoken(seed)
    frames = evidence(states, logits)
    whole, cut = words(), words()
    expected = whole.feed(labels, frames) + whole.flush()
    places = [0, *sorted(cuts), FRAMES]
    actual = [
        word
        for a, b in zip(places, places[1:], strict=False)
        for word in cut.feed(labels[a:b], frames[a:b])
    ]
    actual += cut.flush()
    assert actual == expected
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.states is not None and np.array_equal(ours.states, theirs.states)


def test_words_are_the_same_with_states_and_without() -> None:
    states, logits, labels = spoken(1)
    with_them, without = words(), words()
    heard = without.feed(labels) + without.flush()
    assert heard == with_them.feed(labels, evidence(states, logits)) + with_them.flush()
    assert all(word.states is None for word in heard)


def test_a_frame_that_is_surely_blank_has_no_part_and_one_that_is_not_has_its_share() -> None:
    states = torch.tensor([[1.0], [5.0], [9.0]])
    logits = torch.log(torch.tensor([[1.0, 1e-30], [0.5, 0.5], [1e-30, 1.0]]))
    found = PieceStates()
    for frame in evidence(states, logits):
        found.add(frame)
    found.close()
    assert np.allclose(taken(found), [[(0.5 * 5 + 1.0 * 9) / 1.5]])


def test_frames_behind_the_last_piece_are_of_no_other() -> None:
    found = PieceStates()
    for value in (2.0, 4.0):
        found.add(np.array([value, 1.0]))
    found.forget()
    found.add(np.array([7.0, 1.0]))
    found.close()
    assert np.array_equal(taken(found), [[7.0]]) and found.take() is None


def taken(found: PieceStates) -> States:
    states = found.take()
    assert states is not None
    return states


def test_the_end_is_a_state_that_no_frame_has() -> None:
    assert end(3).shape == (1, 3) and not end(3).any()


def test_half_precision_is_summed_in_float32() -> None:
    states, logits, _ = spoken()
    assert evidence(states.bfloat16(), logits.bfloat16()).dtype == np.float32
    assert evidence(states, logits).dtype == np.float64
