"""MiniPLM: knowledge distillation for pre-training language models (Gu, Zhou, Meng, Zhou and Huang, ICLR 2025)."""

import torch

from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, freeze, register, span
from understudy.parts.divergence import nll
from understudy.parts.groups import Groups, means


@register
class MiniPLM(Method):
    r"""The teacher picks what the student reads: texts that it finds likelier than a small reference model does.

    With the teacher p and a small p_ref that was trained on a random part of the corpus D, each text x has, once and for all,

        r(x) = log p(x) - log p_ref(x),      D' = the `keep` share of D with the highest r
        L = CE(y, s) over D'

    What is easy both know, noise neither knows: of both r is small. The student never meets the teacher, so any teacher will do.

    Shapes: x, y [N, L]; s [N, L, V]; r [rows].
    Departures: the mean over a text's tokens stands for log p, as in the authors' code, where all texts are of one length. Rows
    are drawn from D' with replacement; keep = 1 is training on all of D, drawn alike. The reference comes with the world.
    """

    card = Card(
        "MiniPLM: Knowledge Distillation for Pre-Training Language Models", "arXiv:2410.17215", 2024, slug="miniplm",
        world="crawl", baseline={"keep": 1.0}, tags={"teacher", "labels"}, tasks=("lm",), forwards=1,
    )  # fmt: skip

    keep: float = span(0.5, 1e-3, 1)  # share of the texts that is learned from

    def setup(self, world):
        if not hasattr(world, "reference"):
            raise refuse("world", type(world).__name__, "one with a reference model", "the world 'crawl' shows what it needs")
        nets = super().setup(world) | {"reference": freeze(world.reference())}
        row, r = (torch.cat(part) for part in zip(*((b.row, difference(nets, b)) for b in world.sweep()), strict=True))
        best = r.argsort(descending=True, stable=True)[: max(1, int(self.keep * len(r)))]
        return nets | {"kept": Groups(row[best], torch.zeros_like(best))}

    def source(self, run):
        kept = run["kept"]
        return run.world.pick(kept.draw(kept.share, run.world.batch)).to(run.device)

    def loss(self, run, batch):
        return {"hard": run.world.hard(run["student"](batch.x), batch)}


@torch.no_grad()
def difference(nets, batch):
    """r of every row; -> [N]"""
    row = torch.arange(len(batch.y))[:, None].expand_as(batch.y)[batch.y >= 0]
    p, ref = (means(-nll(nets[who](batch.x), batch.y, each=True), row, len(batch.y)) for who in ("teacher", "reference"))
    return p - ref
