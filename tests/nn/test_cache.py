"""The ring of keys and values against a list that forgets nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from streamtrans.nn.cache import KeyValueCache

CPU = torch.device("cpu")


def empty(batch: int, cells: int) -> KeyValueCache:
    return KeyValueCache.zeros(batch, cells, 1, CPU, torch.float64)


def numbers(batch: int, time: int, start: int = 1) -> Tensor:
    """(B, 1, T, 1), row b counting up from 1000 b + start."""
    row = torch.arange(batch, dtype=torch.float64)[:, None] * 1000
    return (row + torch.arange(start, start + time))[:, None, :, None]


def held(cache: KeyValueCache) -> list[dict[int, float]]:
    """For each row: position -> key, of what can be attended to."""
    keys, values, position = cache.read()
    assert torch.equal(values, -keys)
    return [
        {int(p): float(k) for p, k in zip(ps, ks, strict=True) if p >= 0}
        for ps, ks in zip(position, keys[:, 0, :, 0], strict=True)
    ]


def test_a_new_cache_holds_nothing() -> None:
    assert held(empty(2, 5)) == [{}, {}]


def test_the_ring_holds_the_newest_cells_however_often_it_wraps() -> None:
    generator = torch.Generator().manual_seed(0)
    cache, past = empty(2, 5), [0, 0]
    for _ in range(40):
        lengths = torch.randint(1, 6, (2,), generator=generator)
        new = torch.stack([numbers(2, 5, n + 1)[b] for b, n in enumerate(past)])
        cache = cache.append(new, -new, lengths)
        past = [n + int(m) for n, m in zip(past, lengths, strict=True)]
        for b, row in enumerate(held(cache)):
            oldest = max(0, past[b] - 5)
            assert row == {p: 1000 * b + p + 1 for p in range(oldest, past[b])}


def test_padding_is_written_where_nobody_reads() -> None:
    """Padding once went to the cells behind the row's end, where on a full ring the oldest
    positions lie.
    """
    cache = empty(2, 4).append(numbers(2, 4), -numbers(2, 4))
    garbage = torch.full((2, 1, 3, 1), torch.nan, dtype=torch.float64)
    garbage[:, :, 0] = numbers(2, 1, 5)[:, :, 0]
    cache = cache.append(garbage, -garbage, torch.tensor([1, 1]))
    assert held(cache) == [{p: 1000 * b + p + 1 for p in range(1, 5)} for b in range(2)]


def test_taken_rows_append_into_the_pool() -> None:
    pool = empty(4, 3)
    rows = torch.tensor([2, 0])
    some = pool.take(rows).append(numbers(2, 2), -numbers(2, 2))
    assert held(pool) == [{}, {}, {}, {}]
    pool.put(rows, some)
    assert held(pool) == [{0: 1001, 1: 1002}, {}, {0: 1, 1: 2}, {}]


def test_a_view_of_a_view() -> None:
    """A batch of which some rows do not count is taken a second time; its row numbers are those of
    the batch.
    """
    pool = empty(4, 3)
    batch, kept = torch.tensor([3, 1, 0]), torch.tensor([2, 0])
    state = pool.take(batch).append(numbers(3, 1), -numbers(3, 1))
    pool.put(batch.index_select(0, kept), state.take(kept))
    assert held(pool) == [{0: 2001}, {}, {}, {0: 1}]


def test_a_reset_row_is_new_and_the_others_stay() -> None:
    pool = empty(2, 3).append(numbers(2, 7)[:, :, -3:], -numbers(2, 7)[:, :, -3:])
    pool.reset(torch.tensor([0]))
    assert held(pool)[0] == {}
    assert len(held(pool)[1]) == 3
    pool = pool.append(numbers(2, 1), -numbers(2, 1))
    assert held(pool)[0] == {0: 1}


def test_a_piece_larger_than_the_ring_is_refused() -> None:
    """It would overwrite its own beginning, silently."""
    with pytest.raises(ValueError, match="4 positions does not fit a cache of 3"):
        empty(1, 3).append(numbers(1, 4), numbers(1, 4))


def test_memory_is_bounded() -> None:
    cache = empty(1, 8)
    size = cache.keys.numel()
    for _ in range(100):
        cache = cache.append(numbers(1, 3), -numbers(1, 3))
    assert cache.keys.numel() == size and cache.read()[0].shape[2] == 8
