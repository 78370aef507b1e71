"""Self-distillation for further pre-training (Lee, Kang, Lee, Hwang and Kawaguchi, ICLR 2023)."""

import math

from understudy.core.card import Card
from understudy.core.method import Method, at, freeze, register, span
from understudy.core.world import Player
from understudy.parts.divergence import wide
from understudy.parts.masked import grid_of, restored, scattered
from understudy.parts.stages import anew, stage


@register
class SelfDistillFurtherPretrain(Method):
    r"""A pretrained masked autoencoder is pretrained further on the rows of its new task; then it begins once more from where it
    began, restoring patches and keeping its hidden states near those that it came to the first time; then it is tuned to labels.

        first:   L = mean_i R_i,   R_i = mean over hidden patches of |d(f(x_i, m))_k - x_ik|^2
        again:   L = mean_i (R_i + weight |h(x_i) - h'(x_i)|^2)
        tuned:   L = CE(y, s(x))

    f is the encoder and d its decoder, m hides a share `hide` of the patches, whose values x_ik are brought to mean 0 and
    deviation 1; h(x) is the encoder's state of the whole row, h' that of the model that the stage before ended with, without a
    gradient. `pretrain` of the budget goes to the first stage and to `rounds` of the second in equal shares, the rest to the
    labels; each has its own schedule and optimiser.

    Shapes: m [N, L]; h [N, D], the mean of the tokens; s [N, C] logits.
    Departures: h is the mean of the tokens, which the head reads, where ViT has a class token. The stages share one budget, so
    that more rounds are shorter ones; the paper trains each in full. No crops and flips.
    """

    card = Card(
        "Self-Distillation for Further Pre-training of Transformers", "arXiv:2210.02871", 2023,
        slug="self-distill-further-pretrain", world="patchwork-moved", baseline={"rounds": 0}, tags={"self", "taps"}, forwards=3,
        tune={"rounds": (1, 2, 3)}, tasks=("classify",),
    )  # fmt: skip

    rounds: int = span(1, 0, 100)  # of beginning once more; 0 is further pre-training as it was known before
    pretrain: float = span(0.6, 0, 1)  # share of the budget before labels are learned from
    hide: float = span(0.75, 0, 1)  # share of the patches that are hidden
    weight: float = span(1.0, 0, 1e3)  # of the distance of hidden states
    at: str = at("encoder", "student", "teacher")

    def players(self, world):
        how, phase = world.player, lambda step: self.stage(step, world)
        return {"student": Player(how.optimiser, anew(how.schedule, phase, world.steps), how.clip)}

    def setup(self, world):
        student = world.student()
        grid_of(student)
        return {"student": student, "initial": freeze(student), "teacher": freeze(student)}

    def source(self, run):
        batch, now = run.rows(), self.stage(run.step, run.world)
        if now <= self.rounds:
            places = math.prod(grid_of(run["student"]))
            batch["hidden"] = scattered(len(batch.x), places, self.hide, batch.x.device)
        if 0 < now <= self.rounds:
            batch["target"] = run.tap("teacher", self.at, batch.x)[1].mean(1)
        return batch

    def loss(self, run, batch):
        student, now = run["student"], self.stage(run.step, run.world)
        if now > self.rounds:
            return {"hard": run.world.hard(student(batch.x), batch)}
        terms = {"restore": restored(student(batch.x, batch.hidden), batch.x, student.patch, batch.hidden).mean()}
        if now == 0:
            return terms
        h = run.tap("student", self.at, batch.x)[1].mean(1)
        return terms | {"keep": self.weight * (wide(h) - wide(batch.target)).square().sum(-1).mean()}

    def after_step(self, run, batch):
        now, then = (self.stage(step, run.world) for step in (run.step, run.step + 1))
        if then != now and then <= self.rounds:
            run["teacher"].load_state_dict(run["student"].state_dict())
        if then != now:
            run.renew("student", run["initial" if then <= self.rounds else "student"])

    def stage(self, step, world):
        """0 first, 1 ... rounds again, rounds + 1 tuned; -> int"""
        share = self.pretrain / (self.rounds + 1)
        return stage(step, world.steps, [share] * (self.rounds + 1) + [1 - self.pretrain])
