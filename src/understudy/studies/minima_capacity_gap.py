"""Is the best teacher for a student always so many times its size? (Zhang, Li, Song, Ye, Gao and Hu, ACL 2025)"""

import functools
import math
import statistics

from understudy.core.registry import get
from understudy.core.seeds import key, stream
from understudy.core.world import Player, recast
from understudy.parts.schedule import cosine
from understudy.prove import interval
from understudy.studies import Claim, Finding, Study, over, seeds
from understudy.study import trained
from understudy.worlds.rows import trained as schooled
from understudy.worlds.texts import adamw, texts

SCHOOL = 160  # steps of every teacher


class CapacityGap(Study):
    """A larger teacher isn't always a better one, and the best one's size grows in proportion to the student's.

    Language models of three widths learn the next word of program text, half from the text and half from a teacher of one of
    five widths, each of which read equally long. Sizes are counted in parameters: students of 4.8, 7.6 and 10.8 thousand,
    teachers of 13, 24, 37, 71 and 115 thousand, so that the paper's ratio, 2.5, lies inside of the grid for each of them.

    The claim holds where (1) the largest teacher isn't the best: for each seed and student, the teacher that was best under the
    other seeds is better than the largest, and the interval of the mean over students lies above 0; (2) the best size is in
    proportion: the slope of log best size over log student size, one a seed, has an interval that lies above 0 and holds 1.

    Departures: the paper's students are pruned from their teachers, these begin at random; its models have 0.1 to 7 billion
    parameters. A minute of training on program text is far from where capacity binds.
    """

    card = Claim(
        "Towards the Law of Capacity Gap in Distilling Language Models", "arXiv:2311.07052", 2023,
        "There is a best teacher size below the largest, and it is in proportion to the student's size.",
        slug="minima-capacity-gap", worlds=("texts",), seeds=4,
    )  # fmt: skip

    grid = {"student": (8, 12, 16), "teacher": (16, 24, 32, 48, 64)}
    little = {"student": (8, 12), "teacher": (8, 12, 16)}

    def measure(self, at, seed, small=False):
        teacher, skill = master(seed, at["teacher"], small)
        place = recast(world(seed, at["student"], small), given_teacher=teacher)
        student = trained(get("kd")(a=0.5, t=1.0), place, seed)
        return {"likelihood": marked(place, student, small), "teacher": skill, "sizes": [size(student), size(teacher)]}

    def outcome(self, cells):
        students, teachers = (sorted({c.at[k] for c in cells}) for k in ("student", "teacher"))
        large = {(k, c.at[k]): math.log(n) for c in cells for k, n in zip(("student", "teacher"), c.got["sizes"], strict=True)}
        score = {(s, seed): over(cells, "likelihood", seed, {"student": s}) for s in students for seed in seeds(cells)}
        gained, slopes = [], []
        for seed in seeds(cells):
            others = [k for k in seeds(cells) if k != seed]
            means = {s: [statistics.mean(v) for v in zip(*(score[s, k] for k in others), strict=True)] for s in students}
            gained.append(statistics.mean(score[s, seed][best(means[s])] - score[s, seed][-1] for s in students))
            masters = [large["teacher", teachers[best(score[s, seed])]] for s in students]
            slopes.append(statistics.linear_regression([large["student", s] for s in students], masters).slope)
        curse, law = interval(gained), interval(slopes)
        return [
            Finding("likelihood over that from the largest teacher (nats a word)", curse, curse["low"] > 0),
            Finding("slope of log best teacher size over log student size", law, 0 < law["low"] <= 1 <= law["high"]),
        ]


def best(scores):
    return max(range(len(scores)), key=scores.__getitem__)


def size(net):
    return sum(p.numel() for p in net.parameters())


def shape(width, layers):
    return width, layers, 2


def world(seed, width, small, teacher=16):
    shapes = (shape(width, 1), shape(teacher, 1 if small else 2))
    place = texts(seed, small=small, shapes=shapes)
    return recast(place, steps=4) if small else recast(place, steps=100, player=Player(adamw(6e-3), cosine(100, 10), clip=1.0))


def marked(place, net, small):
    """The log-likelihood of a word of files that nobody has read; a small world's test split stays shut."""
    return place.validate(net) if small else place.score(net)


@functools.lru_cache(maxsize=5)
def master(seed, width, small):
    """A teacher of that width and its own score."""
    place, steps = world(seed, 8, small, width), 4 if small else SCHOOL
    with stream(seed, "teacher", width):
        net = place.teacher()
    player = Player(adamw(4e-3), cosine(steps, steps // 10), clip=1.0)
    made = schooled(place, net, steps, key("minima", seed), player=player)
    return made, marked(place, made, small)
