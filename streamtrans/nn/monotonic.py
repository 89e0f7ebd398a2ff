"""The mathematics of monotonic attention: expected alignments in training, hard ones in use, and the delay they cost.

It knows tensors of probabilities, energies and delays: (..., U, S), U target positions, S source positions, leading
dimensions mostly (B, H). It does not know where they come from, nor tokens, models or losses.

Probabilities and delays are computed in float32 at least and returned so; no operation here is one that autocast makes
less. Nothing is divided by a product of probabilities and nothing that may underflow stands in a denominator: each
recurrence below adds and multiplies numbers from 0 to 1 alone.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def expected_alignment(p: Tensor) -> Tensor:
    """alpha_ij = p_ij sum_{k<=j} alpha_{i-1,k} prod_{l=k}^{j-1} (1 - p_il), alpha_0 = one-hot at the first source.

    Raffel et al. 2017, section 2.3. p: (..., U, S) from 0 to 1, the probability of stopping at source j for target i
    -> alpha: (..., U, S), the probability that target i is aligned to source j.

    A row of alpha sums to 1 where the caller set p to 1 at the row's last source position; positions after it have
    p = 0 and get 0. ValueError if S is 0.
    """
    if p.shape[-1] == 0:
        raise ValueError("an alignment needs at least one source position")
    p = _precise(p)
    if p.numel() == 0:
        return p
    return _Lattice.apply(p.flatten(0, -3) if p.dim() > 2 else p[None]).view(p.shape)


def expected_chunk(
    alpha: Tensor, energy: Tensor, width: int, visible: Tensor | None = None
) -> Tensor:
    """beta_ij = sum_{k=j}^{j+w-1} alpha_ik exp(u_ij) / sum_{l=k-w+1}^k exp(u_il): MoChA, Chiu & Raffel 2018.

    Soft attention over the `width` positions that end where the alignment is. alpha, energy: (..., U, S)
    -> (..., U, S); rows sum to what alpha's do. visible: (..., U), the first so many positions have an energy, the
    others none, whatever stands there (alpha must be 0 there). ValueError if width is below 1.
    """
    if width < 1:
        raise ValueError(f"a chunk is at least one position wide, not {width}")
    alpha, energy = _precise(alpha), _finite(energy)
    size, lowest = energy.shape[-1], torch.finfo(energy.dtype).min / 2
    if visible is not None:
        source = torch.arange(size, device=energy.device)
        energy = energy.masked_fill(source >= visible[..., None], lowest)
    width = min(width, size)

    def shifted(x: Tensor) -> list[Tensor]:
        return [x[..., by : by + size] for by in range(width)]

    chunks = shifted(F.pad(energy, (width - 1, 0), value=lowest))  # u_l, l = k - w + 1 .. k
    total = torch.stack(chunks).logsumexp(0)
    totals = shifted(F.pad(total, (0, width - 1), value=torch.inf))  # of the chunks that j is in
    ends = shifted(F.pad(alpha, (0, width - 1)))  # alpha_k, k = j .. j + w - 1
    shares = [end * (energy - total).exp() for end, total in zip(ends, totals, strict=True)]
    return torch.stack(shares).sum(0)


def expected_lookback(alpha: Tensor, energy: Tensor) -> Tensor:
    """beta_ij = sum_{k>=j} alpha_ik exp(u_ij) / sum_{l<=k} exp(u_il): MILk (Arivazhagan et al. 2019) and MMA-IL.

    Soft attention over all positions up to where the alignment is. alpha, energy: (..., U, S) -> (..., U, S); rows sum
    to what alpha's do. Padding has alpha = 0 and a very low energy.

    With Z_j = sum_{l<=j} exp(u_l): beta_j = exp(u_j) / Z_j r_j, where r_j = alpha_j + Z_j / Z_{j+1} r_{j+1}.
    """
    alpha, energy = torch.broadcast_tensors(_precise(alpha), _finite(energy))
    shape = energy.movedim(-1, 0).shape
    r, u = (x.movedim(-1, 0).flatten(1) for x in (alpha, energy))  # (S, M)
    highest = u.detach().cummax(0).values
    e, fall = (u - highest).exp(), (highest[:-1] - highest[1:]).exp()
    z = _scan(e, fall)  # Z_j / exp(highest_j), at least 1
    r = _scan(r, fall * z[:-1] / z[1:], reverse=True)
    return (e / z * r).view(shape).movedim(0, -1)


def hard_alignment(stop: Tensor, visible: Tensor, start: Tensor | None = None) -> Tensor:
    """Where a monotonic head stops: the first j from its last position on with stop_ij, Raffel et al. 2017.

    stop: (..., U, S) bool; visible: (..., U) from 1 to S, not falling along U; start: (...), the position to begin at,
    below S, 0 by default -> (..., U) long. A head that stops nowhere in what is visible is at the last visible
    position; it never goes back.
    """
    size = stop.shape[-1]
    place = torch.arange(size, device=stop.device)
    stops = place.masked_fill(~stop, size)  # (..., U, S)
    following = stops.flip(-1).cummin(-1).values.flip(-1)  # the first stop from j on, S if none
    last = visible.expand(stop.shape[:-1]) - 1
    position = last.new_zeros(last.shape[:-1]) if start is None else start.expand(last.shape[:-1])
    positions = []
    for target in range(stop.shape[-2]):
        found = following[..., target, :].gather(-1, position[..., None])[..., 0]
        end = last[..., target]
        position = torch.where(found <= end, found, end.maximum(position))
        positions.append(position)
    return torch.stack(positions, dim=-1)


def expected_delay(alpha: Tensor) -> Tensor:
    """g_i = sum_j j alpha_ij, j from 1: source positions READ when target i is written. (..., U, S) -> (..., U)."""
    alpha = _precise(alpha)
    read = torch.arange(1, alpha.shape[-1] + 1, device=alpha.device, dtype=alpha.dtype)
    return (alpha * read).sum(-1)


def differentiable_average_lagging(
    delay: Tensor, source_length: Tensor, target_length: Tensor
) -> Tensor:
    """DAL = 1/|Y| sum_i [g'_i - (i-1) |X|/|Y|], g'_i = max(g_i, g'_{i-1} + |X|/|Y|), g'_1 = g_1: Cherry & Foster 2019.

    As a latency loss: Arivazhagan et al. 2019. delay: (..., U), expected delays in source positions; source_length |X|,
    target_length |Y|: (...) or what broadcasts to it -> (...). Targets after the first |Y| do not count; DAL of no
    target is 0.
    """
    delay = _precise(delay)
    length = target_length.clamp(min=1).to(delay.dtype)[..., None]
    target = torch.arange(delay.shape[-1], device=delay.device)
    # g'_i - (i-1) pace = max(g'_{i-1} - (i-2) pace, g_i - (i-1) pace): a running maximum
    lag = (delay - target * (source_length[..., None] / length)).cummax(-1).values
    return lag.masked_fill(target >= target_length[..., None], 0).sum(-1) / length[..., 0]


def delay_variance(
    delay: Tensor, mask: Tensor | None = None, over: int | tuple[int, ...] = -2
) -> Tensor:
    """The variance of the heads' delays for one target, averaged over targets: L_var of MMA-H, Ma et al. 2020.

    delay: (..., U); over: the dimensions of the heads and, where there is one, of the layers, taken as one population
    of L x H; mask: delay's shape without them, true where a target counts -> that shape without U; of no target, 0.
    """
    variance = _precise(delay).var(over, correction=0)
    if mask is None:
        return variance.mean(-1)
    return variance.masked_fill(~mask, 0).sum(-1) / mask.sum(-1).clamp(min=1)


def weighted_average_delay(
    delays: Tensor, mask: Tensor | None = None, over: int | tuple[int, ...] = -2
) -> Tensor:
    """g_i = sum_h w_h g_hi with w = softmax of g_hi over heads (and layers): slow heads count most. Ma et al. 2020.

    Its DAL is L_avg of MMA-IL. delays: (..., U); over, mask: as in `delay_variance` -> delays' shape without `over`;
    0 where the mask is false.
    """
    delays = _precise(delays)
    weight = (delays - delays.logsumexp(over, keepdim=True)).exp()
    average = (weight * delays).sum(over)
    return average if mask is None else average.masked_fill(~mask, 0)


def _precise(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _finite(energy: Tensor) -> Tensor:
    """So that two energies of padding, be they minus infinity, have a difference."""
    energy = _precise(energy)
    return energy.clamp(min=torch.finfo(energy.dtype).min / 2)


class _Lattice(torch.autograd.Function):
    """Expected alignment as the flow of a unit of mass through a lattice: (N, U, S) -> (N, U, S).

    q_ij = (1 - p_{i,j-1}) q_{i,j-1} + p_{i-1,j} q_{i-1,j} of it comes by cell (i, j): from the left, where it did not
    stop, and from above, where it did. alpha_ij = p_ij q_ij. All cells of an anti-diagonal at once, so U + S - 1 steps:
    on the CPU some twenty times as fast, forward and backward, as a matrix of transitions for each target.

    The lattice lies flat, (cells, N), with a border of zeros: one column before it, a row before and a row after. Then
    an anti-diagonal is a slice, and so are its neighbours on all sides (right of the last column is the border).
    """

    @staticmethod
    def forward(ctx: Any, p: Tensor) -> Tensor:
        targets, sources = p.shape[1:]
        row = sources + 1
        stop = _flat(p)
        go, q = 1 - stop, torch.zeros_like(stop)
        q[row + 1] = 1
        for first, end in _diagonals(targets, sources)[1:]:
            left, above = (slice(first - by, end - by, sources) for by in (1, row))
            cells = q[first:end:sources]
            torch.mul(go[left], q[left], out=cells)
            cells.addcmul_(stop[above], q[above])
        ctx.save_for_backward(stop, q)
        ctx.size = targets, sources
        return _unflat(stop * q, targets, sources)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """dq_ij = p_ij (dalpha_ij + dq_{i+1,j}) + (1 - p_ij) dq_{i,j+1}.

        dp_ij = q_ij (dalpha_ij + dq_{i+1,j} - dq_{i,j+1}).
        """
        (stop, q), (targets, sources) = ctx.saved_tensors, ctx.size
        row = sources + 1
        gain, dq = _flat(gradient), torch.zeros_like(q)
        for first, end in reversed(_diagonals(targets, sources)):
            right, below = (dq[first + by : end + by : sources] for by in (1, row))
            cells = slice(first, end, sources)
            gain[cells].add_(below).sub_(right)
            torch.addcmul(right, stop[cells], gain[cells], out=dq[cells])
        return _unflat(gain.mul_(q), targets, sources)


def _diagonals(targets: int, sources: int) -> list[tuple[int, int]]:
    """First cell and end of each anti-diagonal of the bordered lattice; from cell to cell it is `sources`."""
    bounds = []
    for diagonal in range(2, targets + sources + 1):  # i + j, both from 1
        low, high = max(1, diagonal - sources), min(targets, diagonal - 1)
        bounds.append((low * sources + diagonal, high * sources + diagonal + 1))
    return bounds


def _flat(x: Tensor) -> Tensor:
    """(N, U, S) -> ((U + 2) (S + 1), N), bordered with zeros."""
    batch, targets, sources = x.shape
    y = x.new_zeros(targets + 2, sources + 1, batch)
    y[1:-1, 1:] = x.permute(1, 2, 0)
    return y.view((targets + 2) * (sources + 1), batch)


def _unflat(y: Tensor, targets: int, sources: int) -> Tensor:
    """((U + 2) (S + 1), N) -> (N, U, S)."""
    inner = y.view(targets + 2, sources + 1, y.shape[1])[1:-1, 1:]
    return inner.permute(2, 0, 1).contiguous()


def _scan(x: Tensor, keep: Tensor, reverse: bool = False) -> Tensor:
    """y_j = x_j + keep_{j-1} y_{j-1}; in reverse y_j = x_j + keep_j y_{j+1}. x: (S, M), keep: (S - 1, M) -> (S, M)."""
    return _Scan.apply(x, keep, reverse)


class _Scan(torch.autograd.Function):
    """`_scan`; its gradient is the scan in the other direction."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, reverse: bool) -> Tensor:
        y = _scanned(x, keep, reverse)
        ctx.save_for_backward(keep, y)
        ctx.reverse = reverse
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        keep, y = ctx.saved_tensors
        dx = _scanned(gradient, keep, not ctx.reverse)
        dkeep = dx[:-1] * y[1:] if ctx.reverse else dx[1:] * y[:-1]
        return dx, dkeep, None


def _scanned(x: Tensor, keep: Tensor, reverse: bool) -> Tensor:
    y = x.clone()
    steps = range(len(keep))
    for j in reversed(steps) if reverse else steps:
        here, there = (j, j + 1) if reverse else (j + 1, j)
        y[here].addcmul_(keep[j], y[there])
    return y
