"""The Conformer layer: torchaudio's where both do the same, its sum written out, and the law in whole chunks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from contract import Broken, verify
from torch import Tensor, nn
from torchaudio.models import conformer as theirs

from streamtrans.nn.attention import CausalAttention
from streamtrans.nn.conformer import ChunkAttention, ConformerLayer, ConformerState, Convolution
from streamtrans.nn.streaming import S, Streaming


def random(*shape: int) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64
    )


class Chunks(Streaming[S]):
    """A module that takes whole chunks, with a chunk as its frame: (B, T, chunk D)."""

    def __init__(self, module: Streaming[S], chunk: int) -> None:
        super().__init__()
        self.module, self.chunk = module, chunk

    def forward(self, x: Tensor) -> Tensor:
        return self._fold(self.module(self._unfold(x)))

    def init_state(self, batch: int) -> S:
        return self.module.init_state(batch)

    def step(self, x: Tensor, state: S, lengths: Tensor | None = None) -> tuple[Tensor, S]:
        frames = None if lengths is None else lengths * self.chunk
        y, state = self.module.step(self._unfold(x), state, frames)
        return self._fold(y), state

    def _fold(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, self.chunk)).flatten(2)

    def _unfold(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.chunk, -1)).flatten(1, 2)


def test_a_chunk_of_one_is_causal_attention() -> None:
    torch.manual_seed(0)
    module, plain = ChunkAttention(12, 3, 5), CausalAttention(12, 3, 5)
    plain.load_state_dict(module.state_dict())
    x = random(2, 11, 12).float()
    torch.testing.assert_close(module(x), plain(x))
    verify(module, random(3, 20, 12), piece=9)


@pytest.mark.parametrize(("chunk", "window"), [(4, 6), (3, 1), (6, 40)])
def test_a_position_sees_its_window_and_its_chunk(chunk: int, window: int) -> None:
    """By changing one input at a time and looking where the output changes."""
    torch.manual_seed(0)
    module, x = ChunkAttention(12, 3, window, chunk, piece=24).double(), random(1, 12, 12)
    for s in range(12):
        changed = x.clone()
        changed[0, s] += 1
        differs = (module(x) - module(changed)).abs().amax(2)[0] > 1e-9
        expected = [s < (t // chunk + 1) * chunk and t - s < window for t in range(12)]
        assert differs.tolist() == expected


@pytest.mark.parametrize(
    ("chunk", "window", "piece", "frames"), [(4, 6, 8, 8), (3, 1, 3, 6), (5, 40, 15, 6), (2, 3, 2, 20)]
)  # fmt: skip
def test_chunk_attention_obeys_the_law(chunk: int, window: int, piece: int, frames: int) -> None:
    """Rings that wrap, pieces as large as they may be, a window shorter than a chunk."""
    torch.manual_seed(0)
    module = ChunkAttention(8, 2, window, chunk, piece)
    verify(Chunks(module, chunk), random(3, frames, chunk * 8), piece=piece // chunk)


def test_steps_within_a_chunk_break_the_law() -> None:
    """So the check above sees the future inside a chunk."""
    with pytest.raises(Broken, match="not the whole"):
        verify(ChunkAttention(8, 2, 6, 4, 8), random(3, 16, 8), piece=8)


@pytest.mark.parametrize(("chunk", "piece"), [(3, 8), (0, 8)])
def test_a_piece_is_whole_chunks(chunk: int, piece: int) -> None:
    with pytest.raises(ValueError, match="no multiple of a chunk"):
        ChunkAttention(8, 2, 6, chunk, piece)


def test_a_step_takes_no_more_than_a_piece() -> None:
    module = ChunkAttention(8, 2, 4, chunk=2, piece=4)
    with pytest.raises(ValueError, match="at most 4 positions, not 6"):
        module.step(torch.zeros(1, 6, 8), module.init_state(1))


def test_convolution_is_its_sum() -> None:
    torch.manual_seed(0)
    module, x = Convolution(6, 4).double(), random(2, 9, 6)
    a, b = (x @ module.gate.weight.T).chunk(2, dim=2)
    y = F.pad((a * b.sigmoid()).transpose(1, 2), (3, 0))
    y = F.conv1d(y, module.depthwise.weight, module.depthwise.bias, groups=6).transpose(1, 2)
    y = F.silu(F.layer_norm(y, (6,), module.norm.weight))
    torch.testing.assert_close(module(x), y @ module.out.weight.T)


def without_dropout(module: theirs._FeedForwardModule) -> nn.Module:
    """Their feed-forward behind its norm, which here belongs to the layer."""
    return nn.Sequential(*module.sequential[1:])


def test_a_layer_is_torchaudios(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what differs on purpose taken out: all one chunk, no rotation, no norm in the convolution, their
    feed-forward, a depthwise kernel of one frame (theirs looks ahead).
    """
    monkeypatch.setattr("streamtrans.nn.attention.turn", lambda x, cos, sin: x)
    torch.manual_seed(0)
    golden = theirs.ConformerLayer(12, 20, 3, depthwise_conv_kernel_size=1).double().eval()
    ours = ConformerLayer(12, 3, 20, kernel=1, window=30, chunk=30, piece=30).double().eval()
    for parameter in golden.parameters():
        nn.init.normal_(parameter, std=0.4)
    conv = golden.conv_module.sequential
    gate, depthwise, norm, out = conv[0], conv[2], conv[3], conv[5]
    norm.running_var.fill_(1 - norm.eps)
    nn.init.ones_(norm.weight)
    for bias in (gate.bias, out.bias, norm.bias, golden.self_attn.in_proj_bias):
        if bias is not None:
            nn.init.zeros_(bias)
    pairs = [
        (ours.feed_norm, golden.ffn1.sequential[0]),
        (ours.attention_norm, golden.self_attn_layer_norm),
        (ours.convolution_norm, golden.conv_module.layer_norm),
        (ours.last_feed_norm, golden.ffn2.sequential[0]),
        (ours.norm, golden.final_layer_norm),
        (ours.attention.out, golden.self_attn.out_proj),
        (ours.convolution.depthwise, depthwise),
    ]
    for mine, other in pairs:
        nn.init.zeros_(other.bias)
        mine.load_state_dict({"weight": other.weight}, strict=False)
    ours.attention.qkv.weight = golden.self_attn.in_proj_weight
    ours.convolution.gate.weight = nn.Parameter(gate.weight[..., 0])
    ours.convolution.out.weight = nn.Parameter(out.weight[..., 0])
    ours.convolution.norm = nn.Identity()
    ours.feed, ours.last_feed = without_dropout(golden.ffn1), without_dropout(golden.ffn2)
    x = random(2, 9, 12)
    torch.testing.assert_close(ours(x), golden(x.transpose(0, 1), None).transpose(0, 1))


@pytest.mark.parametrize("chunk", [1, 3])
def test_a_layer_obeys_the_law(chunk: int) -> None:
    torch.manual_seed(0)
    layer: Streaming[ConformerState] = ConformerLayer(
        8, 2, 12, kernel=4, window=5, chunk=chunk, piece=9, dropout=0.1
    )
    verify(Chunks(layer, chunk), random(3, 8, chunk * 8), piece=9 // chunk)


def test_gradients_reach_every_weight() -> None:
    torch.manual_seed(0)
    layer = ConformerLayer(8, 2, 12, kernel=4, window=5, chunk=3, piece=9)
    (layer(random(2, 9, 8).float()) * torch.randn(8)).sum().backward()
    assert all(p.grad is not None and p.grad.count_nonzero() for p in layer.parameters())
