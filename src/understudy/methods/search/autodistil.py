"""AutoDistil: few-shot task-agnostic architecture search for distilling large language models (Xu et al., NeurIPS 2022)."""

import functools

import torch

from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, at, register, span
from understudy.parts.selfattention import real, relation, relation_kl
from understudy.parts.supernet import count, extract


@register
class AutoDistil(Method):
    r"""Networks of all sizes learn as parts of k, each over a part of the sizes, and the best within a limit is taken out.

        R(X) = softmax(X X^T / sqrt(d)), X = Q, K, V of the last layer      d = width of a head
        D(c) = (KL(R(Q_u) || R(Q_s)) + KL(R(K_u) || R(K_s)) + KL(R(V_u) || R(V_s))) / 3, the student of size c
        L = mean over the k parts and some c of each (largest, smallest, `drawn` others) of h CE(c) + w D(c)
        result = the c of smallest D on held-out rows among those of at most limit times the largest's parameters

    Shapes: Q, K, V [N, L, D], D the network's own, split in `heads`; R [N, heads, L, L].
    Departures: the masked-word loss CE is learned along, since nothing else moves what lies above the last attention; h = 0 is
    the paper. Sub-spaces cut the list of every choice in k, where the paper's three are set by hand and may share a depth; they
    learn side by side, each as often as one alone would. Parameters are limited, operations aren't. The relations' KL is the
    paper's, the authors' script takes squared errors. No weight comes from the teacher. 4 relation heads are this world's, BERT's
    are 12.
    """

    card = Card(
        "Few-shot Task-agnostic Neural Architecture Search for Distilling Large Language Models", "arXiv:2201.12507", 2022,
        slug="autodistil", world="superencoders", baseline={"k": 1}, tags={"teacher", "rows", "taps", "search"}, tasks=("tag",),
        forwards=16, tune={"w": (1.0, 3.0, 10.0, 30.0)},
    )  # fmt: skip

    k: int = span(3, 1, 8)  # sub-spaces
    limit: float = span(0.3, 1e-3, 1)  # parameters of the result, as a share of the largest network's
    drawn: int = span(2, 0, 16)  # sizes drawn a step and sub-space, besides the largest and the smallest
    w: float = span(1.0, 0, 1e3)  # weight of the relations
    h: float = span(1.0, 0, 1e3)  # weight of the hard loss
    heads: int = span(4, 1, 64)  # of a relation
    student_at: tuple[str, ...] = at(("stage:-1.query", "stage:-1.key", "stage:-1.value"), "student")
    teacher_at: tuple[str, ...] = at(
        ("stage:-1.attention.self.query", "stage:-1.attention.self.key", "stage:-1.attention.self.value"), "teacher"
    )

    def setup(self, world):
        """The student holds the sub-space of the largest; the others begin as what they'd be inside it."""
        nets = super().setup(world)
        if not hasattr(nets["student"], "space"):
            raise refuse(
                "student", type(nets["student"]).__name__, "a network of many sizes (understudy.parts.supernet.SuperNet)"
            )
        *smaller, _ = nets["student"].space.parts(self.k)
        return nets | {f"student{i}": extract(nets["student"], part) for i, part in enumerate(smaller)}

    def sizes(self, run):
        """Every network that learns, and the sizes that it may be asked for."""
        *smaller, largest = run["student"].space.parts(self.k)
        return {f"student{i}": part.sizes() for i, part in enumerate(smaller)} | {"student": largest.sizes()}

    def apart(self, run, name, size, batch, asked):
        """What a network of that size says, and how far its relations are from the teacher's."""
        s, found = run.tap(name, self.student_at, batch.x, size)
        mask = real(batch.x, s)
        both = ((relation(u, u, mask, self.heads), relation(f, f, mask, self.heads)) for u, f in zip(asked, found))
        return s, functools.reduce(torch.add, (relation_kl(u, f, mask) for u, f in both)) / len(asked)

    def loss(self, run, batch):
        _, asked = run.tap("teacher", self.teacher_at, batch.x)
        terms = []
        for name, sizes in self.sizes(run).items():
            some = [sizes[i] for i in torch.randint(len(sizes), (self.drawn,)).tolist()]
            for size in (sizes[-1], sizes[0], *some):
                s, far = self.apart(run, name, size, batch, asked)
                terms.append(torch.stack([self.h * run.world.hard(s, batch), self.w * far]))
        hard, far = torch.stack(terms).mean(0)
        return {"hard": hard, "relations": far}

    def result(self, run):
        """The size that is nearest to the teacher on held-out rows, standing alone."""
        most = self.limit * count(run["student"], run["student"].space.largest)
        allowed = [(name, s) for name, sizes in self.sizes(run).items() for s in sizes if count(run[name], s) <= most]
        if not allowed:
            raise refuse("autodistil.limit", self.limit, "room for the smallest network at least", "raise it")
        batch = run.rows("valid", 0)
        _, asked = run.tap("teacher", self.teacher_at, batch.x)
        name, size = min(allowed, key=lambda c: self.apart(run, *c, batch, asked)[1].item())
        return extract(run[name], size)
