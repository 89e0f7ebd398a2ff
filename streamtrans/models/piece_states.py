"""What a model that translates speech directly READs of a heard word: one state of the recogniser for each piece.

CTC says a piece in one frame and blank in most others. The frames from one piece to the next become one state, as in
weighted shrinking (Zeng et al. 2021, RealTranS): their mean, each weighted by the probability that its label is not
blank. So a source position is a piece, as it is of text, a piece that was nearly heard has its share, and silence has
none. It knows frames of one stream and where pieces are. It does not know labels, words or models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamtrans.models.recognizer import BLANK

States = NDArray[np.floating[Any]]


def evidence(states: Tensor, logits: Tensor) -> States:
    """States times the probability that something is said in their frame, and that probability, in float32 at least.

    states: (..., D), logits: (..., V), of the same frames -> (..., D + 1) on the host.
    """
    exact = torch.promote_types(states.dtype, torch.float32)
    blank = logits.to(exact).softmax(-1)[..., BLANK, None]
    weighted = torch.cat((states.to(exact) * (1 - blank), 1 - blank), dim=-1)
    found: States = weighted.cpu().numpy()
    return found


def end(dim: int) -> States:
    """The end of a segment, a state of zeros, which no frame has: (1, D)."""
    return np.zeros((1, dim), np.float32)


class PieceStates:
    """Its state: the sum of the frames since the last piece, and the states of the pieces since the last word."""

    def __init__(self) -> None:
        self._sum: States | None = None
        self._pieces: list[States] = []

    def add(self, frame: States) -> None:
        """The next frame, of `evidence`: (D + 1,)."""
        self._sum = frame if self._sum is None else self._sum + frame

    def close(self) -> None:
        """The last frame says a piece."""
        if self._sum is not None:
            self._pieces.append(self._sum[:-1] / self._sum[-1])
            self._sum = None

    def take(self) -> States | None:
        """The states of the pieces since the last call, (P, D); None without frames."""
        pieces, self._pieces = self._pieces, []
        return np.stack(pieces) if pieces else None

    def forget(self) -> None:
        """The stream ends here: frames behind the last piece are of none."""
        self._sum = None
