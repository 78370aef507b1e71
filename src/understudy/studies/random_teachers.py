"""What does a student learn from a teacher that knows nothing? (Sarnthein, Bachmann, Anagnostidis and Hofmann, ICML 2023)"""

from dataclasses import dataclass, replace

import torch

from understudy.core.card import Card
from understudy.core.method import Method, freeze, span
from understudy.core.run import artefact, start
from understudy.core.taps import probe
from understudy.core.world import recast
from understudy.parts.divergence import kl
from understudy.parts.project import pooled
from understudy.parts.projector import Directions
from understudy.prove import interval
from understudy.studies import Claim, Finding, Study, over, seeds
from understudy.study import trained
from understudy.worlds.gallery import gallery


class RandomTeachers(Study):
    """A student that copies an untrained network's answers to real pictures ends with better features than that network has.

    A teacher is drawn at random and stays as it is: an encoder f with a head g, two hidden layers, a bottleneck of unit length,
    cosines with 128 directions. Its student is drawn apart, put a share 1 - a of the way to the teacher, and learns for 400
    updates by

        L = KL(softmax(g'(f'(x))) || softmax(g(f(x))))

    on pictures x without labels and without any augmentation, the same for both: 2,500 of a folder (CIFAR-10, say), or 897
    digits. A control learns from Gaussian noise of the pixels' mean and deviation instead. What f is worth is the accuracy on
    test pictures of a linear probe on its 64 frozen features, of the student, its teacher, and itself before it learned.

    The claim holds where (1) the student beats its teacher, begun afar (a = 1), and (2) close by (a = 0.01); (3) begun afar it
    beats itself before; (4) pictures teach it more than noise does, begun afar; (5) who begins close by (a = 0.01) ends better
    than who begins afar. In each case the interval over seeds lies above 0.

    Departures: an encoder of 23,000 weights with group normalisation, where the paper has ResNets and VGGs with batch
    normalisation, 65,536 directions and a hundred epochs of all pictures. Adam's rate is 0.004, not 0.001, for so few updates.
    The probe is in closed form. Its lottery tickets, linear basins and other tasks aren't tried.
    """

    reads = True
    card = Claim(
        "Random Teachers are Good Teachers", "arXiv:2302.12091", 2023,
        "A student of a random, fixed teacher has better features than it, if it sees real data, most if it begins close to it.",
        slug="random-teachers", worlds=("gallery",), seeds=5,
    )  # fmt: skip

    grid = {"inputs": ("pictures", "noise"), "a": (0.01, 0.3, 1.0)}
    little = {"inputs": ("pictures", "noise"), "a": (0.01, 1.0)}

    def measure(self, at, seed, small=False):
        place, method = world(seed, small, self.data), Copy(a=at["a"], noise=at["inputs"] == "noise")
        worth = place.validate if small else place.score
        before = start(method, place, seed, device="cpu")
        return {
            "student": worth(trained(method, place, seed)),
            "teacher": worth(before["teacher"]),
            "before": worth(artefact(before)),
        }

    def outcome(self, cells):
        of = lambda what, seed, a, inputs="pictures": over(cells, what, seed, {"a": a, "inputs": inputs})[0]
        gains = {
            "probe: student over teacher, begun afar": lambda s: of("student", s, 1.0) - of("teacher", s, 1.0),
            "probe: student over teacher, begun close by": lambda s: of("student", s, 0.01) - of("teacher", s, 0.01),
            "probe: student over itself before, begun afar": lambda s: of("student", s, 1.0) - of("before", s, 1.0),
            "probe: taught by pictures over noise, begun afar": lambda s: of("student", s, 1.0) - of("student", s, 1.0, "noise"),
            "probe: begun close by over afar": lambda s: of("student", s, 0.01) - of("student", s, 1.0),
        }
        found = [(what, interval([gain(s) for s in seeds(cells)])) for what, gain in gains.items()]
        return [Finding(what, effect, effect["low"] > 0) for what, effect in found]


@dataclass(frozen=True)
class Copy(Method):
    """The answers of an untrained network, asked of another one."""

    card = Card("", "", 0, tags={"self"})
    name = "copy"

    a: float = span(1.0, 0, 1)  # how far from the teacher the student begins; 1: drawn apart
    noise: bool = False  # in place of the rows
    hidden: int = span(256, 1, 65536)
    neck: int = span(32, 1, 4096)
    dim: int = span(128, 2, 10**6)

    def setup(self, world):
        width = pooled(probe(world.student(), "", world.rows(0).x)).shape[1]
        made = lambda: {"student": world.student(), "head": Directions(width, self.hidden, self.neck, self.dim, norm=False)}
        mine, theirs = made(), made()
        with torch.no_grad():
            for name, net in mine.items():
                for p, q in zip(net.parameters(), theirs[name].parameters(), strict=True):
                    p.copy_((1 - self.a) * q + self.a * p)
        return {**mine, "teacher": freeze(theirs["student"]), "target": freeze(theirs["head"])}

    def source(self, run):
        batch = run.rows()
        if self.noise:
            pixels = run.world.data.train.x
            batch["x"] = pixels.mean() + pixels.std() * torch.randn_like(batch.x)
        return batch

    def loss(self, run, batch):
        s, u = (run[head](pooled(run[net](batch.x))) for net, head in (("student", "head"), ("teacher", "target")))
        return {"copy": kl(u, s)}


def world(seed, small, path):
    """Half the gallery's rate, and it stays: 0.004."""
    steps = 4 if small else 400
    place = gallery(seed, small=small, path=None if small else path or None)
    return recast(place, steps=steps, player=replace(place.player, schedule=lambda step: 0.5))
