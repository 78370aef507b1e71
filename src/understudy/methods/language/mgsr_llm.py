"""MGSR: multi-granularity semantic revision (Liu, Zhang, Li et al., ACL 2026)."""

import torch
from torch import nn
from torch.nn import functional as F

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, choice, register, span
from understudy.parts.divergence import kl
from understudy.parts.writing import Corrected, neighbours


class Bounds(nn.Module):
    """Which part of the teacher's distribution counts, from both models' probabilities of its `top` likeliest words."""

    def __init__(self, top, width):
        super().__init__()
        self.top, self.net = top, nn.Sequential(nn.Linear(2 * top, 32), nn.ReLU(), nn.Linear(32, 2))
        self.width = width
        with torch.no_grad():
            self.net[2].bias.copy_(torch.tensor([-3.0, 3.0]))  # nearly all of it at first

    def forward(self, p, q):
        """[T, V], [T, V] -> lower and upper bound, shares of the teacher's mass, [T, 1] in (0, 1/2) and (1/2, 1)"""
        p, best = p.topk(min(self.top, p.shape[-1]))
        seen = F.pad(torch.stack([p, q.gather(1, best)], 1), (0, self.top - p.shape[-1])).flatten(1)
        low, high = self.net(seen.to(self.net[0].weight)).sigmoid().div(2).split(1, -1)
        return low, high + 0.5

    def gates(self, u, s, y):
        """log m [T, V] of logits u, s [T, V] and words y [T]; a word stands where the middle of its mass is, likeliest first."""
        p = u.softmax(-1)
        low, high = self(p, s.detach().softmax(-1))
        mass, order = p.sort(descending=True)
        place = torch.empty_like(p).scatter(1, order, mass.cumsum(-1) - mass / 2)
        return (F.logsigmoid((place - low) / self.width) + F.logsigmoid((high - place) / self.width)).scatter(1, y[:, None], 0.0)


@register
class MGSR(Method):
    r"""The student's writing is put right at its worst word; it follows the teacher where that is dense, by words and by spans.

        L = CE + KL(p' || q') + gamma mean |p_i p_{i+1} - q_i q_{i+1}|^2
        p' = m p / sum m p,    q' = m q / sum m q,    m = 1 within the bounds (l, h) = MLP(p, q) and at the written word, else 0
        worst = argmax KL(p_i || q_i) over words that aren't the teacher's likeliest: replaced by that, what follows written anew

    Shapes: p, q [T, V] of teacher and student at the T written words, products word by word; (l, h) [T, 2] shares of p's mass.
    Departures: read from the abstract, summaries and reviews; no public code was found. So these are guesses: what the MLP sees
    and its size (64 inputs, 32 hidden); that l < 1/2 < h bound the mass of likelier words; that m is made of sigmoids of
    `width`, since a hard bound has no gradient; the square in the span's term. The MLP minimises the same loss and might hide
    what the student gets wrong, but for the written word. Spans are of `length` words, the paper's come from a chunker of
    phrases. CE is on the texts. The student writes at every step; the paper also keeps old writing, as DistiLLM does.
    """

    card = Card(
        "Multi-Granularity Semantic Revision for Large Language Model Distillation", "arXiv:2407.10068", 2024, slug="mgsr-llm",
        world="writing", baseline={"correct": 0, "clip": "none", "gamma": 0.0}, tags={"teacher", "matching", "acts"},
        tasks=("lm",), forwards=8,
    )  # fmt: skip

    correct: int = span(1, 0, 8)  # words put right in each text
    clip: str = choice("learned", "none")
    gamma: float = span(1.0, 0, 1e4)  # weight of spans
    length: int = span(4, 2, 1000)  # words of a span
    top: int = span(32, 1, 1000)  # words that the bounds are judged by
    width: float = span(0.05, 1e-3, 1)  # of a bound's slope

    def setup(self, world):
        nets = super().setup(world)
        return nets | ({"bounds": Bounds(self.top, self.width)} if self.clip == "learned" else {})

    def source(self, run):
        rows = run.rows()
        writer = Corrected(run["student"], run["teacher"], self.correct, run.world.stop)
        return Batch({**run.world.play(writer, rows.prompt), "text": rows})

    def loss(self, run, batch):
        s, u = (run[name](batch.x).rows().dense() for name in ("student", "teacher"))
        wrote, text = batch.y >= 0, batch.text
        m = run["bounds"].gates(u, s, batch.y[wrote]) if self.clip == "learned" else 0.0
        i, j = neighbours(wrote, self.length)
        pairs = [x[i] * x[j] for x in (u.softmax(-1), s.softmax(-1))]
        return {
            "hard": run.world.hard(run["student"](text.x), text),
            "clipped": kl(u + m, s + m),
            "span": self.gamma * (pairs[0] - pairs[1]).square().sum() / max(len(i), 1),
        }
