"""U-VPA: uncertainty-based visual prompt adaptation (Gan, Pan, Zhang, Ling, Zhao, Liu and Zhang, CVPR 2023)."""

import copy
import math

import torch
from torch import nn

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.errors import refuse
from understudy.core.method import Method, at, freeze, register, span
from understudy.parts.divergence import cross_entropy, wide
from understudy.parts.ema import ema_
from understudy.parts.incremental import classifier
from understudy.parts.poses import strongly, weakly
from understudy.parts.uncertainty import dropped, mean_and_spread


class Prompted(nn.Module):
    """A network that sees its input plus `reach` times a prompt of the input's shape; [N, ...] -> [N, C]"""

    def __init__(self, net, prompt, reach):
        super().__init__()
        self.net, self.prompt, self.reach = net, prompt, reach

    def forward(self, x):
        return self.net(x + self.reach * self.prompt)


@register
class UVPA(Method):
    r"""A device sends what it is unsure of to the cloud, where a large model learns it with a prompt, and gets that prompt back.

    With d the device's network, S and T the cloud's student and its average, each with a prompt m_S, m_T that is added to what
    they see, and a spread U over dropout masks z of the device's last layer,

        U(x) = mean_z |p_z - mean_z p_z|^2,   p_z = softmax d_z(x + m_T)
        L = pseudo mean_{x sent} CE(p, S(v + m_S)),   p = softmax T(w + m_T)
        T <- T + g (S - T),   g = min(1, (1 - decay) U_t / U_usual)

    where the share `send` of a batch with the largest U is sent, w and v are weak and strong views of it, U_t is its mean and
    U_usual the running mean of that: the less usual a batch, the further the average goes. The answer about x is d(x + m_T); of
    the device nothing else changes.

    Shapes: x, m [N, ...] and [...]; S, T, d, p [N, C]; U [N].
    Departures: the paper detects objects; here rows are classified, and pseudo-labels are soft. How the prompt enters and how the
    uncertainty guides the update isn't known in full: here the prompt is as large as the input and is added, and g is as above.
    """

    card = Card(
        "Cloud-Device Collaborative Adaptation to Continual Changing Environments in the Real-world", "arXiv:2212.00972", 2022,
        slug="u-vpa", world="cloud", baseline={"pseudo": 0.0}, forwards=5,
        tags={"self", "average", "stream", "classes", "batch", "taps"}, tune={"decay": (0.9, 0.97, 0.99, 0.999)},
        tasks=("classify",),
    )  # fmt: skip

    pseudo: float = span(1.0, 0, 1e3)  # weight of what the cloud learns; 0 leaves the device as it is
    send: float = span(0.5, 0, 1)  # share of a batch that is sent; one row at least
    masks: int = span(10, 1, 1000)  # dropout masks of the device's last layer
    drop: float = span(0.2, 0, 0.9)  # share that a mask drops
    decay: float = span(0.99, 0, 1)  # of the moving average, where a batch is as usual
    reach: float = span(10.0, 0, 1e3)  # a prompt's unit, in units of x: how fast it learns beside the weights
    at: str = at("penultimate", "device")

    def setup(self, world):
        device, cloud = freeze(world.student()), world.teacher()
        if cloud is None:
            raise refuse("teacher", None, "a large model for the cloud", "give one, or use a method without ('tent', 'cotta')")
        prompt = nn.Parameter(torch.zeros_like(world.rows(0).x[0]))
        student = Prompted(copy.deepcopy(cloud).requires_grad_(), prompt, self.reach)
        usual = nn.Module()
        usual.register_buffer("spread", torch.tensor(0.0))
        return {"student": student, "teacher": freeze(student), "device": device, "usual": usual}

    def source(self, run):
        batch, teacher = run.rows(), run["teacher"]
        seen = batch.x + self.reach * teacher.prompt
        _, features = run.tap("device", self.at, seen)
        _, spread = mean_and_spread(wide(dropped(classifier(run["device"], seen), features, self.drop, self.masks)).softmax(-1))
        sent = spread.topk(max(math.ceil(self.send * len(spread)), 1)).indices
        return Batch(x=batch.x[sent], y=batch.y[sent], spread=spread[sent])

    def loss(self, run, batch):
        p = run["teacher"](weakly(batch.x))
        return {"pseudo": self.pseudo * cross_entropy(p, run["student"](strongly(batch.x)))}

    def after_step(self, run, batch):
        now, usual = batch.spread.mean(), run["usual"].spread
        usual.lerp_(now.to(usual), 1.0 if run.step == 0 else 0.1)
        share = (1 - self.decay) * (now / usual.clamp(min=1e-12)).item()
        ema_(run["teacher"], run["student"], 1 - min(share, 1.0))

    def result(self, run):
        return Prompted(run["device"], nn.Parameter(run.nets["teacher"].prompt, requires_grad=False), self.reach)
