"""LightHGNN and LightHGNN+ (Feng, Luo, Ying and Gao, ICLR 2024)."""

import torch

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.divergence import entropy, kl
from understudy.parts.hypergraph import Reliable, pooled_kl, reliability


@register
class LightHGNN(Method):
    r"""A network that sees a node's own features alone learns what a hypergraph network says of it, and of reliable hyperedges.

        L = lam CE(y, s) + (1 - lam) (KL(u || s) + w mean over e in E' of KL(u_e || s_e))
        u_e = mean over members of softmax(u),   E' drawn with P(e in E') = rho_e
        rho_e = 1 - d_e / max d,   d_e = |mean over members of H(u') - H(u)|

    u' is what the teacher says when its features are shaken, x' = sigma (1 + noise) x. `w` = 1 is LightHGNN+, 0 is LightHGNN.

    Shapes: s, u [N, C] student and teacher logits; y [N], -1 where hidden; batch.edges [2, I] pairs (row, hyperedge), batch.edge
    [M] the hyperedges' numbers. The teacher is asked about nodes, and by `teacher(nodes, features)` with other features than its
    own.
    Departures: the public code takes a target of probabilities for one of logarithms (`log_target=True`), which is no KL; here it
    is KL, as in the paper. The paper adds noise, the code multiplies by 1 + noise: here as in the code, so that what is 0 stays
    so. The temperature of the hyperedges' answers is 1, its public value. Where a batch isn't all nodes, a hyperedge is what the
    batch has of it, from two members on. The last weights are kept, not those that were best on the validation nodes.
    """

    card = Card(
        "LightHGNN: Distilling Hypergraph Neural Networks into MLPs for 100x Faster Inference", "arXiv:2402.04296", 2024,
        slug="lighthgnn", world="hypergraph", baseline="alone", tags={"teacher", "classes", "batch"}, tasks=("classify",),
        tune={"lam": (0.0, 0.1, 0.3, 0.5)},
    )  # fmt: skip

    lam: float = span(0.0, 0, 1)  # weight of the labels
    w: float = span(1.0, 0, 1e3)  # weight of the hyperedges beside the nodes
    sigma: float = span(1.0, 0, 100)  # how hard the features are shaken
    draws: int = span(1, 1, 100)  # how often

    def setup(self, world):
        nets = super().setup(world)
        teacher = nets["teacher"]
        (everything,) = world.sweep()  # all nodes at once: a hyperedge has members anywhere
        x = everything.x.of("student")
        with torch.no_grad():
            calm = entropy(teacher(everything.x))
            shaken = [entropy(teacher(everything.x, self.sigma * (1 + torch.randn_like(x)) * x)) for _ in range(self.draws)]
        rho = reliability(calm, torch.stack(shaken), everything.edges, len(everything.edge))
        return nets | {"reliable": Reliable(rho)}

    def loss(self, run, batch):
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        taken = run["reliable"](batch.edge)
        edges = (pooled_kl(u, s, batch.edges, len(batch.edge)) * taken).sum() / taken.sum().clamp(min=1)
        return {
            "hard": self.lam * run.world.hard(s, batch),
            "soft": (1 - self.lam) * kl(u, s),
            "edges": (1 - self.lam) * self.w * edges,
        }
