"""LLM2LLM: data enhancement, round by round (Lee, Wattanawong, Kim, Mangalam et al., ACL Findings 2024)."""

import torch

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, choice, freeze, register, span
from understudy.parts.pool import Pool


@register
class LLM2LLM(Method):
    r"""The teacher writes new examples like those the student got wrong, and the student starts again from its base with them.

    In round i, from the base weights, on seeds D_0 and all that was written so far,

        L = CE(y, s(x)) over D_i,      D_{i+1} = D_i + {(teacher(x, y), y) : x in D_0, argmax s(x) != y}

    where every wrong seed gets `new` rows. Only seeds are rewritten, never rows that a teacher wrote, so errors don't grow.
    targets: 'wrong' seeds, or as many of 'any', which is augmentation at an equal number of rows and updates.

    Shapes: s [N, C]; y [N]; teacher(x [M, ...], y [M]) -> new x [M, ...] of the same label.
    Departures: rounds are equally long in updates, where the paper's are in epochs; rows are drawn with replacement. New rows
    that resemble old ones aren't thrown out (the code does above ROUGE-L 0.95); the teacher isn't shown the wrong answer (the
    code's template leaves it out too). The proof's baseline is the same rounds on seeds alone (`new` = 0), as in the paper; a
    small student that has the updates of all rounds for itself does without new rows.
    """

    card = Card(
        "LLM2LLM: Boosting LLMs with Novel Iterative Data Enhancement", "arXiv:2403.15042", 2024, slug="llm2llm", world="intents",
        baseline={"new": 0}, tags={"teacher", "rewrites", "labels"}, tasks=("classify",), forwards=3,
        tune={"new": (1, 2, 4, 8)},
    )  # fmt: skip

    rounds: int = span(10, 1, 1000)
    new: int = span(1, 0, 64)  # rows written for a seed in a round
    targets: str = choice("wrong", "any")

    def setup(self, world):
        nets = super().setup(world)
        rows = [(b.x, b.y) for b in world.sweep()]
        x, y = (torch.cat(part) for part in zip(*rows, strict=True))
        room = len(x) * (1 + self.new * (self.rounds - 1))
        return nets | {"base": freeze(nets["student"]), "seeds": Pool(x, y, len(x)), "pool": Pool(x, y, room)}

    def source(self, run):
        x, y = run["pool"].draw(len(run.rows()))
        return Batch(x=x, y=y)

    def loss(self, run, batch):
        return {"hard": run.world.hard(run["student"](batch.x), batch)}

    def after_step(self, run, batch):
        length = max(1, run.world.steps // self.rounds)
        ended = (run.step + 1) // length if (run.step + 1) % length == 0 else 0
        if not 0 < ended < self.rounds:
            return
        x, y = run["seeds"].x, run["seeds"].y
        wrong = ((run["student"](x).argmax(-1) != y) & (y >= 0)).nonzero().flatten()
        if self.targets == "any":
            known = (y >= 0).nonzero().flatten()
            wrong = known[torch.randperm(len(known), device=y.device)[: len(wrong)]]
        like = wrong.repeat(self.new)
        if len(like):
            run["pool"].add(run["teacher"](x[like], y[like]), y[like])
        run.renew("student", run["base"])
