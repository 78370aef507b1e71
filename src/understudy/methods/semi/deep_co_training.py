"""Deep Co-Training (Qiao, Shen, Zhang, Wang and Yuille, ECCV 2018)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.divergence import cross_entropy, js, nll, soft_cross_entropy, wide
from understudy.parts.labels import told
from understudy.parts.mix import mixed_up
from understudy.parts.poses import weakly
from understudy.parts.schedule import sigmoid_ramp

OTHER = {"student": "peer", "peer": "student"}


@register
class DeepCoTraining(Method):
    r"""Two networks agree about unlabelled rows, and each stays right where the other is fooled, so that they don't become one.

        L = CE(y, s_1(x)) + CE(y, s_2(x)) + w(t) (agree mean_U JS(p_1, p_2) + differ mean (H(p_1, s_2(g_1)) + H(p_2, s_1(g_2))))
        g_i = x + eps sign(d CE(y_i, s_i(x)) / dx),   w(t) = exp(-5 (1 - t)^2) over the first part of the budget

    p_i = softmax s_i(x) and H(p, s) the cross-entropy from p to s; y_i is the label where it is known and else argmax p_i. With
    mixup, rows are mixed first, and labels likewise; of a row without one, with the mean of both answers.

    Shapes: x [N, ...] a weak view, g_i likewise, no gradient through it; s_i [N, C] logits; U the rows without a label; y [N].
    Departures: JS alone is over unlabelled rows, as in the paper; both networks see the same view of them and of labelled rows,
    which the paper draws for each. eps is in units of standardised rows. Mixup is that of Cances et al. (2022), with any row of
    the batch. The student is the result, never the better of the two.
    """

    card = Card(
        "Deep Co-Training for Semi-Supervised Image Recognition", "arXiv:1803.05984", 2018, world="utterances",
        baseline={"agree": 0.0, "differ": 0.0}, tags={"game", "classes", "labels"}, forwards=6,
        tune={"agree": (0.3, 1.0, 3.0, 10.0)},
    )  # fmt: skip

    agree: float = span(10.0, 0, 1e3)  # weight of the two agreeing; 0 for both leaves the labels alone
    differ: float = span(0.5, 0, 1e3)  # weight of not being fooled by what fools the other
    eps: float = span(0.02, 0, 10)  # how far a row is moved to fool
    ramp: float = span(0.25, 0, 1)  # share of the budget in which both weights rise
    mixup: float = span(0.0, 0, 10)  # both parameters of Beta; 0 mixes nothing

    def players(self, world):
        return dict.fromkeys(OTHER, world.player)

    def setup(self, world):
        return {name: world.student() for name in OTHER}

    def loss(self, run, batch):
        known, x = batch.y >= 0, weakly(batch.x)
        if self.mixup:
            with torch.no_grad():
                guess = sum(wide(run[name](x)).softmax(-1) for name in OTHER) / 2
            x, target = mixed_up((x, told(batch.y, guess)), self.mixup)
        x = x.detach().requires_grad_()
        s = {name: run[name](x) for name in OTHER}
        fooled = {}
        for name, out in s.items():
            label = torch.where(known, batch.y, out.argmax(-1))
            (slope,) = torch.autograd.grad(nll(out, label, each=True).sum(), x, retain_graph=True)
            fooled[name] = x.detach() + self.eps * slope.sign()
        cross = {name: run[other](fooled[name]) for name, other in OTHER.items()}
        weight = sigmoid_ramp(run.step, round(self.ramp * run.world.steps))

        def of(name):
            """Everybody's loss is the same sum; what a network moves of it is what isn't detached here."""
            mine, theirs, other = s[name], s[OTHER[name]].detach(), OTHER[name]
            hard = soft_cross_entropy(target[known], mine[known]) if self.mixup else run.world.hard(mine, batch)
            differ = cross_entropy(mine, cross[name].detach()) + cross_entropy(theirs, cross[other])
            return {
                "hard": hard,
                "agree": weight * self.agree * js(mine[~known], theirs[~known]),
                "differ": weight * self.differ * differ,
            }

        return {name: of(name) for name in OTHER}
