"""Search for the best target: greedily or with a beam, of whole sentences or of the words a READ allows.

`beam_search` is full-sentence search, the offline reference and the teacher of distillation. `search` is the beam
itself, over any state, which the engine uses as well. It knows ids and model scores; it knows no policies or sessions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from streamtrans.models.model import Model, ModelState
from streamtrans.text.vocabulary import Vocabulary

READ_PIECES = (
    32  # the most pieces of one READ of a model that streams; a longer word is READ in parts
)
LENGTH_PENALTY = 1.2  # see `beam_search`; BLEU of en-fr on 300 dev sentences: 0.6 41.0, 1.0 40.9, 1.2 41.9, 1.7 41.6
EOS = Vocabulary.eos
NEVER = (Vocabulary.pad, Vocabulary.unk, Vocabulary.bos)


@torch.inference_mode()
def beam_search(
    model: Model,
    sources: Sequence[Sequence[int]],
    width: int = 4,
    length_penalty: float = LENGTH_PENALTY,
    ratio: float = 1.5,
    spare: int = 8,
    batch: int = 64,
) -> list[list[int]]:
    """The best target of each source. sources, targets: ids without the end; an empty source has an empty target.

    width: hypotheses kept for each sentence, 1 is greedy. length_penalty: alpha of Wu et al. 2016, eq. 14 (without its
    coverage): log probability, the end included, over ((5 + length) / 6) ** alpha. ratio, spare: a target has at most
    ratio x source pieces + spare. batch: sentences searched at once. Raises ValueError: a width or batch below 1, a
    source that exceeds the model's memory, a model of speech.
    """
    if model.config.direct:
        raise ValueError(f"{model.config.name} READs speech, not pieces; give a text model")
    if width < 1 or batch < 1:
        raise ValueError(f"width {width} and batch {batch} must be at least 1")
    targets: list[list[int]] = [[] for _ in sources]
    order = sorted((i for i, s in enumerate(sources) if s), key=lambda i: -len(sources[i]))
    if not order:
        return targets
    if (longest := len(sources[order[0]])) >= model.config.memory:
        raise ValueError(
            f"a source of {longest} pieces and its end exceed the model's memory of {model.config.memory}"
        )
    size = min(batch, len(order))
    pool = model.init_state(size * width)
    for start in range(0, len(order), size):
        some = [sources[i] for i in order[start : start + size]]
        limits = [math.ceil(ratio * len(source) + spare) for source in some]
        rows = torch.arange(len(some) * width, device=model.embedding.weight.device)
        pool.reset(rows)
        state = pool if len(some) == size else pool.take(rows)
        _read(model, some, state, width)
        found = _full(model, state, rows.new_tensor(limits), width, length_penalty)
        for i, target, limit in zip(order[start : start + size], found, limits, strict=True):
            targets[i] = [piece for piece in target[:limit] if piece != EOS]
    return targets


def _full(
    model: Model, state: ModelState, limits: Tensor, width: int, length_penalty: float
) -> list[list[int]]:
    """state: of `_read`, width rows a sentence -> ids with the end."""
    if width == 1:
        return [row[: row.index(EOS) + 1] for row in _greedy(model, state, limits).tolist()]
    each = torch.arange(len(limits) * width, device=limits.device)
    bos = torch.full_like(limits, Vocabulary.bos)
    return search(model, state.reorder(each // width * width), bos, limits, width, length_penalty)


def _read(model: Model, sources: Sequence[Sequence[int]], state: ModelState, width: int) -> None:
    """READ each sentence into the first of its `width` rows. sources: longest first."""
    device = model.embedding.weight.device
    longest = len(sources[0]) + 1
    step = longest if model.config.offline else READ_PIECES
    for start in range(0, longest, step):
        parts = [[*s, EOS][start : start + step] for s in sources if len(s) >= start]
        most = len(parts[0])
        padded = [part + [Vocabulary.pad] * (most - len(part)) for part in parts]
        rows = torch.arange(len(parts), device=device) * width
        lengths = torch.tensor([len(part) for part in parts], device=device)
        pieces = torch.tensor(padded, device=device)
        state.put(rows, model.read(pieces, state.take(rows), lengths))


def _greedy(model: Model, state: ModelState, limits: Tensor) -> Tensor:
    """The likeliest piece at each step. limits: (B,) -> (B, U) ids, each row with an end."""
    rows, longest = len(limits), int(limits.max())
    targets = limits.new_full((rows, longest + 1), EOS)
    live = torch.arange(rows, device=limits.device)  # the sentence of each row of the state
    going = torch.ones_like(live, dtype=torch.bool)
    piece = torch.full_like(live, Vocabulary.bos)
    never = limits.new_tensor(NEVER)
    for length in range(longest):
        logits, *_, state = model.write(piece, state)
        piece = logits.index_fill_(1, never, -torch.inf).argmax(1)
        going &= (piece != EOS) & (length < limits)
        targets[live, length] = torch.where(going, piece, EOS)
        count = int(going.sum())
        if not count:
            break
        if 2 * count <= len(live):
            kept = going.nonzero()[:, 0]
            live, piece, limits, going = live[kept], piece[kept], limits[kept], going[kept]
            state = state.take(kept)
    return targets


def search(
    model: Model,
    state: ModelState,
    previous: Tensor,
    limits: Tensor,
    width: int,
    length_penalty: float = LENGTH_PENALTY,
    words: Tensor | None = None,
    ends_word: Tensor | None = None,
) -> list[list[int]]:
    """The best continuation of each of B rows, `width` followed at a time: ids, and the end where it is reached.

    state: B x width rows, alike for each of the B. previous: (B,) the piece written last. limits: (B,) pieces at most,
    the end not counted. words: (B,) whole words to write, 0 for all up to the end, which is what None means for each;
    ends_word: (V,) bool, needed then. Hypotheses of some words compare by probability, once they are whole; the end of
    the target comes before that only where it is likelier than any other piece, as in greedy search.
    """
    beams = _Beams(previous, limits, width, length_penalty, words, ends_word)
    start = state
    while True:
        logits, *_, state = model.write(beams.pieces.flatten(), state)
        parents = beams.extend(logits)
        going = int(beams.going.sum())
        if not going:
            return beams.best()
        state = state.reorder(parents, start)
        if 2 * going <= len(beams.going):
            kept = beams.leave()
            state, start = state.take(kept), start.take(kept)


class _Beams:
    """The hypotheses of the R rows still searched, W each, and the best continuation found for each of all B rows.

    A row is over when no open hypothesis can become better than the best found, even if it went on to its limit at no
    cost. pieces: (R, W) written last; going: (R,) not over.
    """

    def __init__(
        self,
        previous: Tensor,
        limits: Tensor,
        width: int,
        length_penalty: float,
        words: Tensor | None,
        ends_word: Tensor | None,
    ) -> None:
        rows, longest = len(previous), int(limits.max()) + 1
        self.pieces = previous[:, None].expand(-1, width)
        self.going = torch.ones_like(limits, dtype=torch.bool)
        self._limits, self._ends_word, self._length = limits, ends_word, 0
        self._scores = torch.full((rows, width), -torch.inf, device=limits.device).double()
        self._scores[:, 0] = 0.0  # all hypotheses are the same one at first
        self._written = limits.new_full((rows, width, longest), EOS)
        self._left = (limits * 0 if words is None else words)[:, None].repeat(1, width)
        self._to_end = self._left[:, 0] == 0
        self._alpha = self._to_end * length_penalty
        self._row = torch.arange(rows, device=limits.device)  # of the B
        self._found, self._sizes = self._written[:, 0].clone(), torch.zeros_like(limits)
        self._best = self._scores[:, 0] - torch.inf

    def best(self) -> list[list[int]]:
        """What was found."""
        pairs = zip(self._found.tolist(), self._sizes.tolist(), strict=True)
        return [row[:size] for row, size in pairs]

    def extend(self, logits: Tensor) -> Tensor:
        """One piece more. logits: (R W, V) -> (R W,) the rows of the state from which hypotheses go on."""
        step = expand(logits, self._scores)
        ended = step.ended.masked_fill(~(self._to_end[:, None] | step.likely), -torch.inf)
        self._record(ended / self._penalty(self._length + 1)[:, None], self._length + 1)
        self._written = self._written.gather(1, step.parents[..., None].expand_as(self._written))
        self._written[:, :, self._length] = self.pieces = step.pieces
        self._scores, self._length = step.scores, self._length + 1
        if self._ends_word is not None:
            self._end_words(step.parents, self._ends_word)
        over = self._length > self._limits
        cut = over & self._best.isinf()  # nothing was found: the best open one it is
        self._record(self._scores.masked_fill(~cut[:, None], -torch.inf), self._length)
        hope = self._scores.amax(1) / self._penalty(self._limits + 1)
        self.going = ~over & (hope > self._best)
        self._scores.masked_fill_(~self.going[:, None], -torch.inf)
        first = torch.arange(self._scores.numel(), device=logits.device).view_as(self._scores)
        return (first[:, :1] + step.parents).flatten()

    def leave(self) -> Tensor:
        """Rows that are over leave: the rows of the state that stay."""
        kept, width = self.going.nonzero()[:, 0], self._scores.shape[1]
        for name in ("pieces", "going", "_limits", "_scores", "_written", "_left", "_to_end"):
            setattr(self, name, getattr(self, name)[kept])
        self._alpha, self._row, self._best = self._alpha[kept], self._row[kept], self._best[kept]
        return (kept[:, None] * width + torch.arange(width, device=kept.device)).flatten()

    def _end_words(self, parents: Tensor, ends_word: Tensor) -> None:
        """Hypotheses that have written their last word are whole."""
        left = self._left.gather(1, parents) - ends_word[self.pieces].long()
        whole = (left == 0) & ~self._to_end[:, None]
        self._left = left
        self._record(self._scores.masked_fill(~whole, -torch.inf), self._length)
        self._scores.masked_fill_(whole, -torch.inf)

    def _record(self, values: Tensor, size: int) -> None:
        """Keep hypotheses better than the best found. values: (R, W)."""
        value, which = values.max(1)
        better = (value > self._best).nonzero()[:, 0]
        rows = self._row[better]
        self._best[better] = value[better]
        self._found[rows] = self._written[better, which[better]]
        self._sizes[rows] = size

    def _penalty(self, length: Tensor | int) -> Tensor:
        """Wu et al. 2016, eq. 14, the end counted; 1 for rows that write some words. (R,)."""
        return ((5.0 + torch.as_tensor(length, device=self._alpha.device)) / 6.0) ** self._alpha


class Expansion(NamedTuple):
    """What `expand` finds, (B, W) each: hypothesis w goes on from parents[b, w] with pieces[b, w], best first.

    ended: the score of each old hypothesis if it ends here; likely: the end is its likeliest piece.
    """

    ended: Tensor
    likely: Tensor
    scores: Tensor
    parents: Tensor
    pieces: Tensor


def expand(logits: Tensor, scores: Tensor) -> Expansion:
    """One step of W hypotheses for each of B sentences. logits: (B W, V); scores: (B, W) log probabilities so far."""
    sentences, width = scores.shape
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32), copy=True)
    logits[:, list(NEVER)] = -torch.inf
    rest = scores - logits.logsumexp(1).view(sentences, width)
    end = logits[:, EOS].clone()
    logits[:, EOS] = -torch.inf
    top = logits.topk(min(width, logits.shape[1]), 1)
    likely = (end >= top.values[:, 0]).view(sentences, width)
    totals = rest[..., None] + top.values.view(sentences, width, -1)
    new, index = totals.flatten(1).topk(width, 1)
    parents = index // top.values.shape[1]
    pieces = top.indices.view(sentences, -1).gather(1, index)
    return Expansion(rest + end.view(sentences, width), likely, new, parents, pieces)
