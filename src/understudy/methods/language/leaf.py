"""LeaF: learning to focus, by gradient-guided token pruning (Guo, Yang, Sun, Ding, Liu and Lin, NeurIPS 2025)."""

import torch
import torch.nn.functional as F

from understudy.core.card import Card
from understudy.core.method import Method, at, choice, register, span
from understudy.parts.divergence import kl, mean, wide
from understudy.parts.prompts import Cuts, answered, run_around, without
from understudy.parts.saliency import sensitivity, unit_range


@register
class LeaF(Method):
    r"""Words of a prompt that the student heeds and the teacher doesn't are cut out, and it learns to answer without them.

    Before training, with g_i the gradient's norm of the answer's cross-entropy towards word i's embedding, min-max normalised
    over the prompt,

        d_i = norm(g_i(teacher) - g_i(student)),      A = the run of words with d_i <= tau around the least d_i
        L = lam KL(u(X) || s(X)) + (1 - lam) KL(u(X \ A) || s(X \ A)), mean over the answers' words

    X \ A is learned from where those that `check` names answer rightly without A.

    Shapes: X, d [N, L]; s, u [N, L, V] logits of the next word; y [N, L], -1 in the prompt.
    Departures: a row has one counterfactual, around its strongest confounder; the authors' code makes one of each run. That code
    cuts the lowest 5 % of a prompt's d (if below 1/2), the paper what is below a threshold, 0.1 for its smaller models, which is
    followed. The paper has both models be right without A (`check` = 'both'); the scripts that cut don't ask. Prompts alone are
    pruned, not what was answered so far (the paper's second variant). lam isn't pinned down.
    """

    card = Card(
        "Learning to Focus: Causal Attention Distillation via Gradient-Guided Token Pruning", "arXiv:2506.07851", 2025,
        slug="leaf", world="distractors", baseline={"lam": 1.0}, tags={"teacher", "matching", "labels", "taps"},
        tasks=("lm",), forwards=4, tune={"lam": (0.3, 0.5, 0.7, 0.9)},
    )  # fmt: skip

    lam: float = span(0.5, 0, 1)  # weight of the rows as they are
    tau: float = span(0.1, 0, 1)  # up to which d a word counts as a confounder
    check: str = choice("none", "teacher", "both")  # who must be right without what is cut out
    student_at: str = at("lm.transformer.wte", "student")  # the embedding of words
    teacher_at: str = at("lm.transformer.wte", "teacher")

    def setup(self, world):
        nets = super().setup(world)
        found = [(b.row, self.confounders(nets, b.x, b.y)) for b in world.sweep()]
        return nets | {"cuts": Cuts(*(torch.cat(part) for part in zip(*found, strict=True)))}

    def loss(self, run, batch):
        def apart(x, y):
            u, s = run["teacher"](x), run["student"](x)
            return mean(kl(u[y >= 0], s[y >= 0], each=True), False)

        terms = {"factual": self.lam * apart(batch.x, batch.y)}
        if self.lam < 1:
            drop = run["cuts"].drop[batch.row]
            x, y = without(drop, batch.x, batch.y)
            terms["counterfactual"] = (1 - self.lam) * apart(x, y.masked_fill(~drop.any(1, keepdim=True), -1))
        return terms

    def confounders(self, nets, x, y):
        """What is to be cut out of each row, nothing where there is no counterfactual to learn from; -> bool [N, L]"""
        error = lambda out: F.cross_entropy(wide(out).flatten(0, 1), y.flatten(), ignore_index=-1, reduction="sum")
        prompt, has = answered(y)
        prompt = prompt & has[:, None]
        g = lambda name, at: unit_range(sensitivity(nets[name], at, x, error), prompt)
        d = unit_range(g("teacher", self.teacher_at) - g("student", self.student_at), prompt)
        marked = prompt & (d <= self.tau)
        drop = run_around(marked, d.argmin(1))
        judges = {"both": ("teacher", "student"), "teacher": ("teacher",), "none": ()}[self.check]
        return drop & self._right(nets, judges, *without(drop, x, y))[:, None]

    @torch.no_grad()
    def _right(self, nets, judges, x, y):
        right = torch.ones_like(y[:, 0], dtype=torch.bool)
        for name in judges:
            right = right & ((nets[name](x).argmax(-1) == y) | (y < 0)).all(1)
        return right
