"""Who should see mixed rows, teacher or student? (Choi, Jeon, Shukla and Turaga, WACV 2023)"""

import functools
import statistics
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from understudy.core.card import Card
from understudy.core.method import Method, span
from understudy.core.world import Player, recast, sgd
from understudy.parts.divergence import kl, soft_cross_entropy, standardise
from understudy.parts.mix import blended, shares
from understudy.parts.schedule import cosine
from understudy.prove import interval
from understudy.report.findings import calibration_error
from understudy.studies import Claim, Finding, Study, over, seeds
from understudy.study import trained
from understudy.worlds.figures import Pool, figures
from understudy.worlds.rows import answers

PORTION = {"none": 0.0, "partial": 0.1, "full": 1.0}  # of a batch's rows that are mixed


class Mixup(Study):
    """A plain teacher and mixed rows for the student work better than a teacher that learned from mixed rows itself.

    Two teachers learn digits for 600 updates, one from rows as they are, one from mixed ones (shares from Beta(1, 1)). Students
    of a third of their weights, which have a sixth of the rows, learn from each for 300 updates of

        L = 0.1 CE(mixed labels, s / t) + 0.9 KL(softmax(u / t) || softmax(s / t))

    with none, a tenth ('partial') or all of a batch's rows mixed. t is 4 in the second term (times t^2) and 1 in the first, or
    in both each answer's own standard deviation over the classes ('std'). Accuracy on test rows; `calibration` is the expected
    calibration error of what was trained, and `entropy` how soft a teacher's answers to test rows are.

    The claim holds where (1) the plain teacher's students are more accurate than those of the one that learned from mixed rows,
    in the mean over mixtures and temperatures; (2) that teacher's answers are softer; (3) the plain teacher's students gain by
    mixing all rows, in the mean over temperatures; (4) they gain by mixing a tenth; (5) with mixed rows, a tenth or all, t = std
    is better than t = 4. In each case the interval over seeds lies above 0.

    Departures: digits and networks of thousands of weights, where the paper has CIFAR-100 and ImageNet; so (2) is measured by the
    entropy, not by looking at projected features. Weights, shares and 'partial' are the authors' code's; whether a tenth is
    better than all isn't judged. Gradients are clipped at a norm of 1: without that, in a first run of the same five seeds, four
    of thirty students with t = std fell to a constant answer or near it.
    """

    card = Claim(
        "Understanding the Role of Mixup in Knowledge Distillation: An Empirical Study", "arXiv:2211.03946", 2023,
        "Mixed rows help a student of a plain teacher, not its teacher, and their temperature is best the logits' own deviation.",
        slug="mix-kd", worlds=("figures",), seeds=5,
    )  # fmt: skip

    grid = {"teacher": ("plain", "mixed"), "mixed": ("none", "partial", "full"), "t": ("4", "std")}
    little = grid

    def measure(self, at, seed, small=False):
        place, net = world(seed, small), teacher(seed, at["teacher"], small)
        t = 0.0 if at["t"] == "std" else float(at["t"])
        student = trained(Mixed(t=t, portion=PORTION[at["mixed"]]), recast(place, given_teacher=net), seed)
        rows = place.data.valid if small else place.data.test
        s, u = answers(student, rows.x), answers(net, rows.x)
        right = lambda out: (out.argmax(1) == rows.y).double().mean().item()
        p = u.log_softmax(1)
        return {
            "accuracy": right(s),
            "calibration": calibration_error("classify", s if t else standardise(s), rows.y),
            "teacher": right(u),
            "entropy": -(p.exp() * p).sum(1).mean().item(),
        }

    def outcome(self, cells):
        of = lambda seed, **where: statistics.mean(over(cells, "accuracy", seed, where))
        plain = lambda seed, **where: of(seed, teacher="plain", **where)
        mixed = lambda seed, t: statistics.mean(plain(seed, mixed=m, t=t) for m in ("partial", "full"))
        soft = lambda seed, kind: over(cells, "entropy", seed, {"teacher": kind})[0]
        gains = {
            "accuracy: a plain teacher over one of mixed rows": lambda s: plain(s) - of(s, teacher="mixed"),
            "entropy: a teacher of mixed rows over a plain one": lambda s: soft(s, "mixed") - soft(s, "plain"),
            "accuracy: all rows mixed over none": lambda s: plain(s, mixed="full") - plain(s, mixed="none"),
            "accuracy: a tenth mixed over none": lambda s: plain(s, mixed="partial") - plain(s, mixed="none"),
            "accuracy: deviation over 4 as temperature of mixed rows": lambda s: mixed(s, "std") - mixed(s, "4"),
        }
        found = [(what, interval([gain(s) for s in seeds(cells)])) for what, gain in gains.items()]
        return [Finding(what, effect, effect["low"] > 0) for what, effect in found]


@dataclass(frozen=True)
class Mixed(Method):
    """Distillation on mixed rows; a = 0 learns from mixed labels alone."""

    card = Card("", "", 0, tags={"teacher", "classes"})
    name = "mixed"

    a: float = span(0.9, 0, 1)  # weight of the teacher
    t: float = span(4.0, 0, 100)  # temperature; 0: the deviation of each answer
    portion: float = span(1.0, 0, 1)  # of a batch that is mixed
    alpha: float = span(1.0, 0, 100)  # of the shares' Beta distribution

    def loss(self, run, batch):
        n = len(batch.y)
        share, other = shares(n, self.alpha, own=False), torch.randperm(n)
        share[: n - round(self.portion * n)] = 1.0  # rows come in an order of chance
        x = blended(batch.x, batch.x[other], share)
        s = run["student"](x)
        label = F.one_hot(batch.y, s.shape[1]).to(s)
        label = blended(label, label[other], share)
        if not self.a:
            return {"hard": soft_cross_entropy(label, s)}
        u = run["teacher"](x)
        if self.t == 0:  # a softmax doesn't mind that the mean is taken off
            s, u = standardise(s), standardise(u)
        soft = kl(u, s, self.t or 1.0)
        return {"hard": (1 - self.a) * soft_cross_entropy(label, s), "soft": self.a * soft}


def world(seed, small):
    """Gradients are clipped: divided by a small deviation they are large at first."""
    place = figures(seed, small=small)
    return recast(place, steps=4 if small else place.steps, player=replace(place.player, clip=1.0))


@functools.lru_cache(maxsize=4)
def teacher(seed, kind, small):
    """Trained on rows that are six times the students', as they are or mixed."""
    place, steps = world(seed, small), 4 if small else 600
    data = place.data if small else Pool(place.data)
    how = Player(sgd(0.05, 0.9, 5e-4), cosine(steps))
    start = recast(place, data=data, steps=steps, player=how, new_student=lambda: place.given_teacher)
    return trained(Mixed(a=0.0, portion=float(kind == "mixed")), start, seed)
