"""DDK: distilling domain knowledge (Liu et al., NeurIPS 2024)."""

import torch

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, choice, register, span
from understudy.parts.divergence import nll
from understudy.parts.groups import Groups, discrepancy, means, smoothed


@register
class DDK(Method):
    r"""What the student reads is drawn most from those domains in which it is most behind its teacher, as measured again and
    again.

    With l_S, l_T the perplexities of student and teacher on rows of a domain that are kept for this, at the start of interval t,

        r_0 = softmax(l_S / l_T)
        r_{t+1} = alpha psi / sum psi + (1 - alpha) / D,      psi = r_t exp(l_S / l_T)
        L = CE(y, s) + gamma t^2 KL(softmax(u / t) || softmax(s / t)) over rows drawn from domains by r

    The first interval's rows are drawn as they lie, more from larger domains; so are all of the baseline's (draw = 'rows').
    alpha = 0 draws from all domains alike, which on validation rows of this world does about as well.

    Shapes: l_S, l_T, r [D]; s, u [N, L, V]; y [N, L].
    Departures: rows are drawn with replacement, not in turn. A ratio of perplexities is cut at e^50. t^2 isn't in the paper,
    whose t is 1. An interval is a share of the budget: its 1,000 of about 30,000 steps.
    """

    card = Card(
        "DDK: Distilling Domain Knowledge for Efficient Large Language Models", "arXiv:2407.16154", 2024, slug="ddk",
        world="domains", baseline={"draw": "rows"}, tags={"teacher", "matching"}, tasks=("lm",), forwards=4,
        tune={"gamma": (0.1, 0.2, 0.5, 1.0)},
    )  # fmt: skip

    alpha: float = span(0.5, 0, 1)  # weight of the discrepancies; what is left is shared alike
    gamma: float = span(0.2, 0, 1e3)  # weight of the teacher
    t: float = span(1.0, 1e-2, 100)  # temperature
    draw: str = choice("domains", "rows")  # rows: as they lie, which is plain distillation
    interval: float = span(1 / 30, 0, 1)  # share of the budget between two measurements; at least a step

    def setup(self, world):
        if not hasattr(world, "probe"):
            raise refuse("world", type(world).__name__, "one of several domains", "the world 'domains' shows what it needs")
        row, domain = (torch.cat(part) for part in zip(*((b.row, b.domain) for b in world.sweep()), strict=True))
        return super().setup(world) | {"domains": Groups(row, domain)}

    def source(self, run):
        domains, every = run["domains"], max(1, round(self.interval * run.world.steps))
        if self.draw == "rows":
            return Batch({**run.rows(), "share": domains.share[None]})
        share = self._measured(run, domains.share) if run.step % every == 0 else domains.share
        rows = run.rows() if run.step < every else run.world.pick(domains.draw(share, run.world.batch)).to(run.device)
        return Batch({**rows, "share": share[None]})

    def _measured(self, run, share):
        """r of the interval that begins here; [D] -> [D]"""
        rows = run.world.probe().to(run.device)
        of = rows.domain[:, None].expand_as(rows.y)[rows.y >= 0]
        costs = (nll(run[who](rows.x), rows.y, each=True) for who in ("student", "teacher"))
        ratio = discrepancy(*(means(cost, of, len(share)) for cost in costs))
        return smoothed(share, ratio, self.alpha if run.step else 1.0).to(share)

    def loss(self, run, batch):
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        return {"hard": run.world.hard(s, batch), "soft": self.gamma * run.world.soft(s, u, self.t)}

    def after_step(self, run, batch):
        run["domains"].share.copy_(batch.share[0])
