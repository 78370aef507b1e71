"""Who writes after a prompt, where it isn't one model by itself; and what was written, word by word.

A writer is whatever has `write(prompt, more, greedy, t) -> tokens`, as a language model does, so a world's `play` takes any of them. Prompts are
{input_ids, attention_mask} [N, P], padded on the left; answers are those of causal language models, lazy or not (`parts.lazy`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.parts.divergence import kl, nll, wide
from understudy.parts.lazy import Lazy

Prompt = dict[str, Tensor]


def said(answer: Tensor | Lazy, y: Tensor) -> Tensor:
    """Log-probability of each written word, 0 where y is hidden (-1) and nothing was; [N, L, V], [N, L] -> [N, L]"""
    logp = -nll(answer, y, each=True)
    return logp.new_zeros(y.shape).masked_scatter(y >= 0, logp)


def log_mixture(own: Tensor, other: Tensor, share: float) -> Tensor:
    """log((1 - share) e^own + share e^other) of log-probabilities, for 0 <= share <= 1; [...], [...] -> [...]"""
    weights = own.new_tensor([1 - share, share]).log()
    return torch.logaddexp(own + weights[0], other + weights[1])


def to_go(reward: Tensor, written: Tensor, mean: bool) -> Tensor:
    """What is still to come after each place, itself left out: the sum of later rewards, or their mean; 0 after the last; [N, L], bool [N, L] -> [N, L]"""
    there = written.to(reward)
    later = _after(reward * there) * there
    return later / _after(there).clamp(min=1) if mean else later


def _after(x: Tensor) -> Tensor:
    """The sum of all that follows, exactly 0 where nothing does; [N, L] -> [N, L]"""
    return F.pad(x[:, 1:], (0, 1)).flip((-1,)).cumsum(-1).flip((-1,))


def neighbours(wrote: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Which of the T written places follow one another within a span of so many, spans counted from each row's first; bool [N, L] -> [M], [M]"""
    row, at = wrote.nonzero(as_tuple=True)
    span = (at - wrote.long().argmax(1)[row]) // length
    pair = (row[1:] == row[:-1]) & (at[1:] == at[:-1] + 1) & (span[1:] == span[:-1])
    first = pair.nonzero().squeeze(1)
    return first, first + 1


class Beside(nn.Module):
    """Two models at one pen: each word is drawn from (1 - share) writer's + share other's probabilities of it."""

    def __init__(self, writer: nn.Module, other: nn.Module, share: float) -> None:
        super().__init__()
        self.writer, self.other, self.share = writer, other, share

    @torch.no_grad()
    def write(self, prompt: Prompt, more: int, *, greedy: bool = False, t: float = 1.0) -> Tensor:
        """[N, P] -> [N, P + more]"""
        if self.share == 0:
            return _write(self.writer, prompt, more, greedy=greedy, t=t)

        def mixed(tokens: Tensor, scores: Tensor) -> Tensor:
            asked = torch.zeros_like(tokens, dtype=torch.bool)
            asked[:, -1] = True
            theirs = _logits(self.other, prompt, tokens, asked).log_softmax(-1)
            theirs = F.pad(theirs, (0, scores.shape[-1] - theirs.shape[-1]), value=-torch.inf)
            return log_mixture(wide(scores).log_softmax(-1), theirs.to(scores), self.share)

        return _write(self.writer, prompt, more, greedy=greedy, t=t, adjust=mixed)


class Corrected(nn.Module):
    """A writer whose worst word is put right `times` over: where it and the teacher disagree on the likeliest word, and are furthest apart in
    KL(teacher || writer), the teacher's takes the place of what was written, and the writer writes on from there.

    Liu et al. 2024 (arXiv:2407.10068). A row in which the two agree on every word stays as it is. stop: the token that ends what is written.
    """

    def __init__(self, writer: nn.Module, teacher: nn.Module, times: int, stop: int = -1) -> None:
        super().__init__()
        self.writer, self.teacher, self.times, self.stop = writer, teacher, times, stop

    @torch.no_grad()
    def write(self, prompt: Prompt, more: int, *, greedy: bool = False, t: float = 1.0) -> Tensor:
        """[N, P] -> [N, P + more]"""
        tokens = _write(self.writer, prompt, more, greedy=greedy, t=t)
        start = prompt["input_ids"].shape[1]
        for _ in range(self.times):
            place, word, wrong = self.worst(prompt, tokens)
            if not wrong.any():
                break
            again = rewritten(self.writer, prompt, tokens, start + place, word, greedy=greedy, t=t)
            tokens = torch.where(wrong[:, None], again, tokens)
        return tokens

    def worst(self, prompt: Prompt, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of every row: which written word is the worst, the teacher's word there, and whether there is one; -> [N], [N], [N]"""
        n, start = len(tokens), prompt["input_ids"].shape[1]
        asked = torch.zeros_like(tokens[:, :-1], dtype=torch.bool)
        asked[:, start - 1 :] = True
        s, u = (_logits(net, prompt, tokens[:, :-1], asked) for net in (self.writer, self.teacher))
        right, wrote = u.argmax(-1).view(n, -1), tokens[:, start:]
        over = (wrote == self.stop).cumsum(1) - (wrote == self.stop).long() > 0
        apart = kl(u, s, each=True).view(n, -1).masked_fill((right == wrote) | over, -torch.inf)
        place = apart.argmax(-1)
        return place, right.gather(1, place[:, None])[:, 0], apart.amax(-1) > -torch.inf


def rewritten(writer: nn.Module, prompt: Prompt, tokens: Tensor, at: Tensor, word: Tensor, **how: Any) -> Tensor:
    """The same rows with `word` [N] at place `at` [N] and all that follows written anew; [N, L] -> [N, L]"""
    n, length = tokens.shape
    width = int(at.max()) + 1
    fixed = torch.where(torch.arange(length, device=tokens.device) == at[:, None], word[:, None], tokens)
    there = F.pad(prompt["attention_mask"], (0, length - prompt["attention_mask"].shape[1]), value=1)
    back = torch.arange(width, device=tokens.device) - (width - 1 - at[:, None])  # which token stands where, once ends are flush
    begun = {"input_ids": fixed.gather(1, back.clamp(min=0)), "attention_mask": there.gather(1, back.clamp(min=0)) * (back >= 0)}
    more = length - 1 - int(at.min())
    whole = _write(writer, begun, more, **how) if more else begun["input_ids"]
    return whole.gather(1, torch.arange(length, device=tokens.device).expand(n, -1) + (width - 1 - at[:, None]))


def _write(writer: nn.Module, prompt: Prompt, more: int, **how: Any) -> Tensor:
    tokens: Tensor = writer.write(prompt, more, **how)  # type: ignore[operator]
    return tokens


def _logits(net: nn.Module, prompt: Prompt, tokens: Tensor, asked: Tensor) -> Tensor:
    """What a model answers at the places asked for, in rows; -> [T, V]"""
    mask = F.pad(prompt["attention_mask"], (0, tokens.shape[1] - prompt["attention_mask"].shape[1]), value=1)
    where = (mask.cumsum(1) - 1).clamp(min=0)
    answer = net({"input_ids": tokens, "attention_mask": mask, "position_ids": where, "asked": asked})
    return answer.rows().dense() if isinstance(answer, Lazy) else answer[asked]
