"""Convolutions against torch's own, and under the law: strides, unlike rows, no frame lost or twice."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from contract import Broken, verify
from strided import verify_strided
from torch import Tensor

from streamtrans.nn.conv import CausalConv, DepthwiseConv, LookAhead
from streamtrans.nn.windows import N, Past


def random(*shape: int) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64
    )


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (2, 2), (4, 2), (5, 3), (8, 8)])
def test_causal_conv_is_torchs(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    module, x = CausalConv(4, 6, kernel, stride).double(), random(2, 17, 4)
    weight = module.linear.weight.view(6, kernel, 4).transpose(1, 2)
    padded = F.pad(x.transpose(1, 2), (kernel - stride, 0))
    expected = F.conv1d(padded, weight, module.linear.bias, stride).transpose(1, 2)
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (2, 2), (4, 2), (5, 3), (7, 7)])
def test_causal_conv_obeys_the_law(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    verify_strided(CausalConv(4, 5, kernel, stride), random(3, 20, 4), piece=9)


def test_a_stride_of_one_obeys_the_plain_law() -> None:
    verify(CausalConv(4, 5, 3), random(3, 20, 4))


@pytest.mark.parametrize(("kernel", "stride"), [(2, 3), (3, 0)])
def test_a_stride_that_skips_frames_is_refused(kernel: int, stride: int) -> None:
    with pytest.raises(
        ValueError, match=f"stride {stride} must be from 1 to the kernel's {kernel}"
    ):
        CausalConv(4, 4, kernel, stride)


@pytest.mark.parametrize("kernel", [1, 2, 15])
def test_depthwise_conv_is_torchs(kernel: int) -> None:
    torch.manual_seed(0)
    module, x = DepthwiseConv(6, kernel).double(), random(2, 17, 6)
    padded = F.pad(x.transpose(1, 2), (kernel - 1, 0))
    expected = F.conv1d(padded, module.weight, module.bias, groups=6).transpose(1, 2)
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("kernel", [1, 2, 15])
def test_depthwise_conv_obeys_the_law(kernel: int) -> None:
    torch.manual_seed(0)
    verify(DepthwiseConv(6, kernel), random(3, 20, 6), piece=8)


def test_look_ahead_starts_as_a_delay_and_learns_the_future() -> None:
    module, x = LookAhead(6, 3).double(), random(2, 10, 6)
    torch.testing.assert_close(module(x), F.pad(x, (0, 0, 3, 0))[:, :10])
    with torch.no_grad():
        module.weight.fill_(1)
    torch.testing.assert_close(module(x)[:, 5], x[:, 2:6].sum(1))


def test_look_ahead_obeys_the_law() -> None:
    module = LookAhead(6, 3)
    torch.nn.init.normal_(module.weight)
    verify(module, random(3, 20, 6))


def test_a_row_without_new_frames_stays_as_it_was() -> None:
    """Behind a stride a row may get nothing of a step that gives others something."""
    torch.manual_seed(0)
    for module in (DepthwiseConv(6, 4).double(), CausalConv(6, 6, 4, 2).double()):
        _, before = module.step(random(2, 3, 6), module.init_state(2))
        _, after = module.step(random(2, 5, 6), before, torch.tensor([0, 5]))
        assert torch.equal(after.kept[0], before.kept[0]) and after.length.tolist() == [3, 8]


class ForgetsItsPhase(CausalConv):
    """Takes each piece as if it began with a window."""

    def step(self, x: Tensor, state: Past, lengths: Tensor | None = None) -> tuple[Tensor, Past]:
        y, after = super().step(x, Past(state.kept, torch.zeros_like(state.length)), lengths)
        return y, Past(after.kept, state.length + (x.shape[1] if lengths is None else lengths))


class CountsWrong(CausalConv):
    """Says that a window is out when it has begun."""

    def count(self, length: N) -> N:
        return (length + 1) // self.stride


@pytest.mark.parametrize(
    ("module", "broken"), [(ForgetsItsPhase, "not the whole"), (CountsWrong, "frames give")]
)
def test_the_law_for_strides_can_fail(module: type[CausalConv], broken: str) -> None:
    with pytest.raises(Broken, match=broken):
        verify_strided(module(4, 5, 4, 2), random(3, 20, 4))
