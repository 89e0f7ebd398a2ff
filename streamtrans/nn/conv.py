"""Convolution that streams: causal, with the newest frames carried to the next step.

It knows kernels and strides. It does not know what the frames mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamtrans.nn.streaming import Streaming
from streamtrans.nn.windows import N, Past, Strided, next_windows, windows


class CausalConv(Strided[Past]):
    """Convolution over frames: output t sees the `kernel` frames that end with frame stride (t + 1) - 1.

    dim D in, out D' out; kernel at least stride, ValueError otherwise.
    """

    def __init__(self, dim: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        if not 1 <= stride <= kernel:
            raise ValueError(f"stride {stride} must be from 1 to the kernel's {kernel} frames")
        self.dim, self.kernel, self.stride = dim, kernel, stride
        self.linear = nn.Linear(kernel * dim, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T // stride, D')."""
        return self.linear(windows(x, self.kernel, self.stride).flatten(2))

    def init_state(self, batch: int) -> Past:
        """Zeros, as before the first frame."""
        return Past.zeros(batch, self.kernel, self.dim, *self.place())

    def step(self, x: Tensor, state: Past, lengths: Tensor | None = None) -> tuple[Tensor, Past]:
        """(B, T, D), state -> (B, ceil(T / stride), D'), state. lengths may be 0."""
        frames, state = next_windows(x, state, self.kernel, self.stride, lengths)
        return self.linear(frames.flatten(2)), state

    def count(self, length: N) -> N:
        """Frames out after `length` frames."""
        return length // self.stride

    def length(self, state: Past) -> Tensor:
        """(B,) frames so far."""
        return state.length


class DepthwiseConv(Streaming[Past]):
    """Causal convolution of each channel by itself: y_t = sum over k of w_k x_{t - kernel + 1 + k}, plus a bias."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(dim, 1, kernel))
        self.bias = nn.Parameter(torch.zeros(dim))
        nn.init.uniform_(self.weight, -(kernel**-0.5), kernel**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self._convolve(F.pad(x, (0, 0, self.kernel - 1, 0)))

    def init_state(self, batch: int) -> Past:
        """Zeros, as before the first frame."""
        return Past.zeros(batch, self.kernel, self.weight.shape[0], *self.place())

    def step(self, x: Tensor, state: Past, lengths: Tensor | None = None) -> tuple[Tensor, Past]:
        """(B, T, D), state -> (B, T, D), state. lengths may be 0."""
        both, state = state.append(x, lengths)
        return self._convolve(both), state

    def _convolve(self, x: Tensor) -> Tensor:
        """(B, kernel - 1 + T, D) -> (B, T, D), as an image of one column with channels last: no copies, and a third of
        the time of conv1d, forward and backward, on the CPU.
        """
        if self.kernel == 1:  # torch would go channel by channel
            return x * self.weight[:, 0, 0] + self.bias
        image = x.unsqueeze(2).permute(0, 3, 1, 2)
        kernel = self.weight[..., None].contiguous(memory_format=torch.channels_last)
        y = F.conv2d(image, kernel, self.bias, groups=len(kernel))
        return y.permute(0, 2, 3, 1).squeeze(2)


class LookAhead(DepthwiseConv):
    """Some frames of the future, by waiting for them (row convolution, Amodei et al. 2016, section 3.7).

    Output t stands for frame t - ahead and sees up to frame t, so all that follows runs `ahead` frames late. It starts
    as the mere delay.
    """

    def __init__(self, dim: int, ahead: int) -> None:
        super().__init__(dim, ahead + 1)
        with torch.no_grad():
            self.weight.zero_()[..., 0] = 1
