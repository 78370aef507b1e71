"""A transformer is a list of like blocks: which of a deep one's stand for those of a shallow one, and what is handed down.

Blocks are counted from 0. Features of blocks are tuples of [N, L, D], early to late; mask [N, L] is True where no padding is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from understudy.core.errors import TapError
from understudy.parts.divergence import wide
from understudy.parts.selfattention import scores, scores_mse


def spread(few: int, many: int) -> tuple[int, ...]:
    """`few` of `many` blocks, evenly from the first to the last: (0, 2, 4, 7, 9, 11) for 6 of 12."""
    return tuple(round(i * (many - 1) / max(few - 1, 1)) for i in range(few))


def uniform(few: int, many: int) -> tuple[int, ...]:
    """The last block of each of `few` equal groups, g(m) = m N / M counted from 1: (2, 5, 8, 11) for 4 of 12. Where groups can't be
    equal, the next block above."""
    return tuple(-(-(m + 1) * many // few) - 1 for m in range(few))


def thirds(found: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
    """What was read in all blocks under three names, apart: hidden states (`stages`), queries and keys
    (`stage:*.attention.self.query`, `...key`)."""
    n, rest = divmod(len(found), 3)
    if rest:
        raise TapError(f"{len(found)} features aren't three of each block: name as many of each kind")
    return found[:n], found[n : 2 * n], found[2 * n :]


def states_mse(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor, to: Callable[[Tensor], Tensor]) -> Tensor:
    """Squared distance of hidden states, mean over real tokens and width, sum over the student's blocks; `to` leads the student's
    to the teacher's width."""
    pairs = zip(student, uniform(len(student), len(teacher)), strict=True)
    return torch.stack([(wide(to(s)) - wide(teacher[j])).square().mean(-1)[mask].mean() for s, j in pairs]).sum()


def attention_mse(
    student: tuple[Sequence[Tensor], Sequence[Tensor]],
    teacher: tuple[Sequence[Tensor], Sequence[Tensor]],
    mask: Tensor,
    heads: int,
) -> Tensor:
    """Squared distance of attention before its softmax, from (queries, keys) of each block; mean over heads and pairs of real
    tokens, sum over the student's blocks."""
    found = [
        scores_mse(scores(q_s, k_s, heads), scores(teacher[0][j], teacher[1][j], heads), mask)
        for q_s, k_s, j in zip(*student, uniform(len(student[0]), len(teacher[0])), strict=True)
    ]
    return torch.stack(found).sum()


@torch.no_grad()
def inherit_(student: nn.Module, teacher: nn.Module, *, grown: bool = False) -> int:
    """The student takes over each of the teacher's tensors of the same name and shape, and of a list of blocks that is shorter
    than the teacher's an even `spread` of them; -> how many weights it took.

    grown: also what has more rows than the teacher's, whose first ones are taken over (a longer vocabulary).
    """
    took = 0
    for own, theirs in _alike(_inmost(student), _inmost(teacher)):
        same = own.shape == theirs.shape
        if same or (grown and own.dim() and own.shape[1:] == theirs.shape[1:] and len(own) > len(theirs)):
            own[: len(theirs)].copy_(theirs) if own.dim() else own.copy_(theirs)
            took += theirs.numel() if isinstance(own, nn.Parameter) else 0
    return took


def _inmost(net: nn.Module) -> nn.Module:
    """The network inside its wrappings."""
    inner = getattr(net, "inner", None)
    return _inmost(inner) if isinstance(inner, nn.Module) else net


def _alike(student: nn.Module, teacher: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Tensors of one name, block by block."""
    for mine, theirs in ((student._parameters, teacher._parameters), (student._buffers, teacher._buffers)):
        for name, tensor in mine.items():
            other = theirs.get(name)
            if tensor is not None and other is not None:
                yield tensor, other
    if isinstance(student, nn.ModuleList) and isinstance(teacher, nn.ModuleList) and len(teacher):
        for block, j in zip(student, spread(len(student), len(teacher)), strict=True):
            yield from _alike(block, teacher[j])
        return
    children = dict(teacher.named_children())
    for name, module in student.named_children():
        if name in children:
            yield from _alike(module, children[name])
