"""EventDance (Zheng and Wang, CVPR 2024)."""

from torch.nn import functional as F

from understudy.core.card import Card
from understudy.core.method import Method, freeze, register, span
from understudy.core.world import Player
from understudy.parts.divergence import entropy, kl, wide
from understudy.parts.events import Integrator, voxels
from understudy.parts.experts import Together
from understudy.parts.filters import sure


@register
class EventDance(Method):
    r"""A classifier of pictures labels event streams through pictures made of them, which learn to be what it's sure of; networks
    of several event representations learn these labels, and to agree.

    With R_k(x) the picture made of events up to time k, u its logits by the source model, p = softmax u(R_T(x)) those of the
    picture of all events, s_v the logits of representation v, S their mean, d the events between times:

        L_R = build |R_{k+1} - R_k - d|^2 + confidence H(p) + steady mean_{k>T-late} KL(p || u(R_k(x))) + cross g KL(S || p)
        L_s = mean_v [max p >= threshold] CE(argmax p, s_v(x)) + mutual mean_{v,w} KL(s_v(x) || s_w(x))

    R moves by L_R and the networks by L_s, both at each step; what comes from the other is taken as given, and
    g, the share of the budget that is spent, lets R listen more as the networks know more. In `build` R is the
    logarithm of light.

    Shapes: x [N, 2, T, H, W] counts; R [T, N, 1, H, W]; u, s [N, C].
    Departures: weights and forms of the losses are ours where the abstract is silent. The source model is frozen. R is a sum of
    events that fades, and two convolutions, where the paper has a large pretrained network; representations are the world's, a
    stack image and a voxel grid. R moves slowly (`slow`), since confidence alone would soon make all pictures one class.
    """

    card = Card(
        "EventDance: Unsupervised Source-free Cross-modal Adaptation for Event-based Object Recognition",
        "arXiv:2403.14082", 2024, slug="eventdance", world="saccades",
        baseline={"confidence": 0.0, "steady": 0.0, "cross": 0.0, "mutual": 0.0},
        tags={"teacher", "game", "classes"}, forwards=2, tune={"slow": (0.001, 0.003, 0.01, 0.03)}, tasks=("classify",),
    )  # fmt: skip

    build: float = span(1.0, 0, 100)  # weights
    confidence: float = span(0.3, 0, 100)
    steady: float = span(0.5, 0, 100)
    late: int = span(2, 1, 100)  # times before the last
    cross: float = span(0.5, 0, 100)
    mutual: float = span(0.5, 0, 100)
    threshold: float = span(0.5, 0, 1)  # of pseudo-labels that are learned
    slow: float = span(0.003, 0, 1)  # rate of R, as a share of the networks'
    width: int = span(8, 1, 256)  # channels of R

    def players(self, world):
        how = world.player
        slow = lambda step: self.slow * (how.schedule(step) if how.schedule else 1.0)
        return {"student": how, "bridge": Player(how.optimiser, slow, how.clip)}

    def setup(self, world):
        return {"student": world.student(), "teacher": freeze(world.teacher()), "bridge": Integrator(self.width)}

    def loss(self, run, batch):
        light, pictures = run["bridge"](batch.x)
        u = wide(run["teacher"](pictures.flatten(0, 1))).unflatten(0, pictures.shape[:2])
        s = wide(run["student"](batch.x))
        anchor = u[-1]
        bridge = self.rebuilt(batch.x, light) | self.bridged(u, anchor, s, run.progress)
        return {"bridge": bridge, "student": self.taught(anchor.detach(), s)}

    def rebuilt(self, x, light):
        change = voxels(x)[:, 1:].transpose(0, 1)[:, :, None]
        return {"build": self.build * (wide(light).diff(dim=0) - change).square().mean()}

    def bridged(self, u, anchor, s, share=1.0):
        late = u[-1 - self.late : -1]
        near = kl(anchor.detach().expand_as(late).flatten(0, 1), late.flatten(0, 1), 1.0)
        return {
            "confidence": self.confidence * entropy(anchor, each=False), "steady": self.steady * near,
            "cross": self.cross * share * kl(s.detach().mean(0), anchor, 1.0),
        }  # fmt: skip

    def taught(self, anchor, s):
        p = anchor.softmax(-1)
        kept, y = sure(p, self.threshold), p.argmax(-1)
        own = F.cross_entropy(s.flatten(0, 1), y.repeat(len(s)), reduction="none") * kept.repeat(len(s))
        pairs = [kl(s[v].detach(), s[w], 1.0) for v in range(len(s)) for w in range(len(s)) if v != w]
        return {"pseudo": own.mean(), "mutual": self.mutual * (sum(pairs) / len(pairs))}

    def result(self, run):
        return Together(run["student"])
