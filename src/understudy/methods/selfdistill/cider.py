"""CIDer: emotion recognition under missing modalities and distribution shifts (Zhong, Huan, Wu, Liang and Chen, 2025)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, at, choice, register, span
from understudy.core.taps import probe
from understudy.parts.confounded import Corrected, Stratified, features, rebuilt, scattered, strata, usual, without
from understudy.parts.divergence import wide
from understudy.parts.selfattention import real, relation, relation_kl


@register
class CIDer(Method):
    r"""Who sees a row whole teaches itself seeing it in parts, and what frequent classes and usual words suggest is taken off.

        L = CE(y, p(x)) + CE(y, p(m)) + joint (1 - cos(z(m), z(x))) + attention KL(A(x) || A(m)) + rebuild |r(h(m)) - x|
        p(x) = sum_i P(i) softmax(W_i [z(x), e(f_i)]),   answer = log p(m) - tau log p(m')

    m is x where each token is missing with a chance, m' has of its words only the usual ones, which many training rows have. z is
    the joint representation, A the last attention, h the tokens at the end; none of x learns. The last sum is over missing tokens
    (smooth L1). P(i) and f_i are a class's share and mean features; for the answer all P are alike, and so are all f.

    Shapes: x {text [N, L], audio, vision [N, L, D]}; z [N, R]; A [N, heads, L, L]; W_i [C, 2 R]; p [N, C].
    Departures: tau is fixed before the test, where the authors' code takes the best of 31 on it. Both passes make one step, not
    two. The network is the world's: no recurrent layers, no BERT, no attention that shortens sounds to a text's length.
    """

    card = Card(
        "Towards Robust Multimodal Emotion Recognition under Missing Modalities and Distribution Shifts", "arXiv:2506.10452",
        2025, slug="cider", world="senses", tags={"self", "classes", "taps"}, forwards=2, tune={"tau": (0.0, 0.1, 0.25, 0.5)},
        baseline={"joint": 0.0, "attention": 0.0, "rebuild": 0.0, "causal": "none", "tau": 0.0}, tasks=("classify",),
    )  # fmt: skip

    joint: float = span(0.5, 0, 1e3)
    attention: float = span(0.5, 0, 1e3)
    rebuild: float = span(0.5, 0, 1e3)
    causal: str = choice("classes", "none")  # what an answer is a mean over; none: all rows are one stratum
    tau: float = span(0.25, 0, 10)  # how much of what usual words suggest is taken off
    missing: float = span(0.5, 0, 1)  # chance of a token
    often: float = span(0.12, 0, 1)  # share of the training rows that have a usual word
    heads: int = span(4, 1, 64)  # of attention
    student_at: tuple[str, ...] = at(("blocks.1.attention.q", "blocks.1.attention.k", "norm", "rep", "embed.text"), "student")

    def setup(self, world):
        net, rows = world.student(), list(world.sweep())
        x = {k: torch.cat([b.x[k] for b in rows]) for k in rows[0].x}
        y = torch.cat([b.y for b in rows])
        classes = probe(net, "", world.rows(0).x).shape[1]
        _, _, h, z, words = probe(net, self.student_at, world.rows(0).x)
        found = features(x, world.words)
        groups, many = (y, classes) if self.causal == "classes" else (y.clamp(max=0), 1)
        means, shares = zip(*(strata(f, groups, many) for f in found), strict=True)
        student = Stratified(net, means, shares[0], z.shape[1], classes)
        student.register_buffer("usual", usual(x["text"], world.words, self.often))
        sizes = {"text": words.shape[-1]} | {k: x[k].shape[-1] for k in x if k != "text"}
        return {"student": student, "rebuild": nn.ModuleDict({k: nn.Linear(h.shape[-1], d) for k, d in sizes.items()})}

    def source(self, run):
        batch = run.rows()
        batch["gone"] = scattered(batch.x, self.missing)
        batch["part"] = without(batch.x, batch.gone, run.world.unknown)
        return batch

    def loss(self, run, batch):
        u, whole = run.tap("student", self.student_at, batch.x)
        s, (q, k, h, z, _) = run.tap("student", self.student_at, batch.part)
        q_u, k_u, _, z_u, words = (t.detach() for t in whole)
        mask = real(batch.x, q)
        off = relation_kl(relation(q_u, k_u, mask, self.heads), relation(q, k, mask, self.heads), mask)
        parts = zip(batch.x, h.split([t.shape[1] for t in batch.x.values()], 1), strict=True)
        lost = [
            rebuilt(run["rebuild"][name](t), words if name == "text" else batch.x[name], batch.gone[name]) for name, t in parts
        ]
        return {
            "hard": run.world.hard(u, batch) + run.world.hard(s, batch),
            "joint": self.joint * (1 - torch.cosine_similarity(wide(z), wide(z_u), -1)).mean(),
            "attention": self.attention * off,
            "rebuild": self.rebuild * sum(lost),
        }

    def result(self, run):
        student = run["student"]
        return Corrected(student, student.usual, run.world.blank, run.world.unknown, self.tau)
