"""DistiLLM (Ko, Kim, Chen and Yun, ICML 2024)."""

import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, choice, register, span
from understudy.parts.divergence import nll, skew_kl, skew_reverse_kl
from understudy.parts.memory import Ring


class Use(nn.Module):
    """phi, how often the student's writing is used, and on what it hangs: the loss on texts when it last rose, whether that is
    known yet, the sum of losses since the last look and their count. And what was written."""

    def __init__(self, phi, capacity, width):
        super().__init__()
        for name, value in (("phi", phi), ("least", 0), ("known", 0), ("total", 0), ("count", 0)):
            self.register_buffer(name, torch.tensor(float(value)))
        self.written = Ring(capacity, width)


@register
class DistiLLM(Method):
    r"""A KL skewed towards the student, whose gradient stays small, on texts and, once those are known by heart, on old writing.

        SKL = KL(u || alpha u + (1 - alpha) s)      SRKL = KL(s || (1 - alpha) u + alpha s)
        phi = min(phi + 0.1, 1) where the loss on texts has risen by eps or more

    A step is on the student's writing with probability phi, else on texts. phi (1 - step / steps) of the steps have it write
    anew, as all do until `capacity` rows are kept; the others take some of those. Writing is what costs, and it gets rarer.

    Shapes: log s, log u [N, L, V], mean over the words that are asked for, or were written; rows kept [capacity, 3 L].
    Departures: the authors look at the loss on validation texts after every epoch. A method doesn't judge itself here: it is the
    mean over training texts as they come, before they are learned from. They also add a loss on a pre-training corpus.
    """

    card = Card(
        "DistiLLM: Towards Streamlined Distillation for Large Language Models", "arXiv:2402.03898", 2024, world="writing",
        baseline={"alpha": 0.0, "phi": 0.0}, tags={"teacher", "matching", "acts"}, tasks=("lm",),
    )  # fmt: skip

    alpha: float = span(0.1, 0, 0.99)  # the teacher's share in the mixture of SKL, the student's in that of SRKL
    kind: str = choice("skl", "srkl")
    phi: float = span(0.0, 0, 1)  # how often the student's writing is used at first
    rise: float = span(0.1, 0, 1)  # what phi grows by
    eps: float = span(0.1, 0, 100)  # rise of the loss that it takes, in nats
    every: int = span(10, 1, 100_000)  # steps between two looks at that loss
    capacity: int = span(1000, 1, 1_000_000)  # rows of old writing

    def setup(self, world):
        length = world.rows(0).prompt["input_ids"].shape[1] + world.more - 1
        return super().setup(world) | {"use": Use(self.phi, self.capacity, 3 * length)}

    def source(self, run):
        rows, use, chance = run.rows(), run["use"], torch.rand(())
        if chance >= use.phi:
            return rows
        if chance < use.phi * (1 - run.progress) or int(use.written.seen) < self.capacity:
            return Batch({**run.world.play(run["student"], rows.prompt), "fresh": torch.ones(len(rows))})
        return self._kept(use.written.filled(), len(rows))

    def _kept(self, rows, n):
        """n rows of old writing, drawn without replacement where there are as many."""
        pick = torch.randperm(len(rows), device=rows.device)[:n]
        ids, where, y = rows[pick].long().chunk(3, 1)
        return Batch(x={"input_ids": ids, "position_ids": where, "asked": y >= 0}, y=y, old=torch.ones(len(y)))

    def loss(self, run, batch):
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        if "fresh" not in batch and "old" not in batch:
            batch["text"] = nll(s, batch.y).detach()[None]
        skewed = skew_kl if self.kind == "skl" else skew_reverse_kl
        return {"skewed": skewed(u, s, self.alpha)}

    def after_step(self, run, batch):
        use = run["use"]
        if "fresh" in batch:
            use.written.push(torch.cat([batch.x["input_ids"], batch.x["position_ids"], batch.y], 1))
        if "text" in batch:
            use.total += batch.text.mean()
            use.count += 1
        if (run.step + 1) % self.every == 0 and use.count > 0:
            self._look(use, use.total / use.count)
        run.agree()

    def _look(self, use, loss):
        """phi rises where the loss has; what it is compared with is the first loss, then that at the last rise."""
        if not use.known:
            use.least.copy_(loss)
        elif loss >= use.least + self.eps:
            use.phi.add_(self.rise).clamp_(max=1)
            use.least.copy_(loss)
        use.known.fill_(1)
        use.total.zero_()
        use.count.zero_()
