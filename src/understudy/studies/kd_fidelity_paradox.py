"""Does a student gain more where it agrees more with its teacher? (Ramesh, Sengupta and Chakraborty, Findings of ACL 2025)"""

import functools
import statistics
from dataclasses import dataclass

import torch
from scipy.stats import rankdata

from understudy.core.registry import get
from understudy.core.seeds import stream
from understudy.core.world import recast
from understudy.prove import interval
from understudy.studies import Claim, Finding, Study, over, seeds
from understudy.study import trained
from understudy.worlds.digits import Net, digits
from understudy.worlds.rows import answers
from understudy.worlds.rows import trained as schooled

STUDENTS = {2: (2, 4, 8), 4: (4, 8, 16), 8: (8, 16, 32), 16: (16, 32, 64)}  # channels of the stages, width of the embedding
TEACHERS = {"small": (8, 16, 32), "large": (32, 64, 64), "novice": (32, 64, 64)}  # a novice has read what the students read
ENOUGH = 0.5  # a correlation below this leaves three quarters of the variance to something else


class Paradox(Study):
    """Gain and fidelity are two things: distillation helps small students most, whoever teaches them, and not by agreement.

    Students of four sizes learn digits from three teachers at three temperatures, and alone. Gain is the accuracy over that of
    the same student alone; fidelity the share of test rows where it says what its teacher says. Correlations are Spearman's,
    one a seed, and the interval is over seeds; within a size they are pooled after each size's mean rank is taken off.

    The claim holds where (1) gain falls with the student's size: the interval of the correlation lies below 0; (2) the
    teacher's accuracy hardly matters for the gain within a size: the interval lies between -0.5 and 0.5; (3) fidelity doesn't
    speak for gain within a size: the interval ends below 0.5.

    Departures: the paper distils language models of 0.5 to 7 billion on fourteen tasks, here it is digits and thousands of
    parameters; its fidelity is that of reasoning, here that of answers.
    """

    card = Claim(
        "On the Generalization vs Fidelity Paradox in Knowledge Distillation", "arXiv:2505.15442", 2025,
        "Smaller students gain more, and within a size the gain goes neither with the teacher's accuracy nor with agreement "
        "with it.",
        slug="kd-fidelity-paradox", worlds=("digits",),
    )  # fmt: skip

    grid = {"student": (2, 4, 8, 16), "teacher": ("small", "large", "novice"), "t": (1.0, 4.0, 16.0)}
    little = {"student": (2, 4), "teacher": ("small", "novice"), "t": (1.0, 4.0)}

    def measure(self, at, seed, small=False):
        place, (teacher, skill) = world(seed, at["student"], small), master(seed, at["teacher"], small)
        place = recast(place, given_teacher=teacher)
        student, exam = trained(get("kd")(t=at["t"]), place, seed), held(place, small)
        said, told = answers(student, exam.x), answers(teacher, exam.x)
        right = (said.argmax(1) == exam.y).double().mean().item()
        return {
            "accuracy": right,
            "gain": right - alone(seed, at["student"], small),
            "fidelity": (said.argmax(1) == told.argmax(1)).double().mean().item(),
            "teacher": skill,
        }

    def outcome(self, cells):
        sizes, found = sorted({c.at["student"] for c in cells}), {"size": [], "teacher": [], "fidelity": []}
        for seed in seeds(cells):
            gain = [over(cells, "gain", seed, {"student": s}) for s in sizes]
            found["size"].append(spearman([[statistics.mean(g) for g in gain]], [list(sizes)]))
            for other in ("teacher", "fidelity"):
                found[other].append(spearman(gain, [over(cells, other, seed, {"student": s}) for s in sizes]))
        size, skill, fidelity = (interval(found[k]) for k in ("size", "teacher", "fidelity"))
        return [
            Finding("rank correlation of gain and student size", size, size["high"] < 0),
            Finding(
                "of gain and the teacher's accuracy, within a size", skill, skill["low"] > -ENOUGH and skill["high"] < ENOUGH
            ),
            Finding("of gain and agreement with the teacher, within a size", fidelity, fidelity["high"] < ENOUGH),
        ]


def spearman(a, b):
    """Rank correlation within groups, pooled: each group's ranks are centred first; 0 where nothing varies."""
    x, y = (torch.cat([torch.as_tensor(rankdata(g)) - (len(g) + 1) / 2 for g in v]) for v in (a, b))
    both = (x.square().sum() * y.square().sum()).sqrt()
    return (x @ y / both).item() if both > 0 else 0.0


@dataclass(frozen=True)
class Pool:
    """What a teacher reads, in place of what the students read."""

    train: object
    valid: object


def world(seed, size, small):
    place = digits(seed, small=small, new_student=lambda: Net(*STUDENTS[size]))
    return recast(place, steps=4) if small else place


def held(place, small):
    """The rows that everybody is asked about at the end; a small world's test split stays shut."""
    return place.data.valid if small else place.data.test


@functools.lru_cache(maxsize=8)
def master(seed, kind, small):
    """A teacher and its accuracy on the test rows, which no student learns from."""
    place = digits(seed, small=small)
    data = place.data if kind == "novice" or small else Pool(place.data.pool, place.data.valid)
    with stream(seed, "teacher", kind):
        net = Net(*TEACHERS[kind])
    made, exam = schooled(place, net, 8 if small else place.steps, seed, data=data), held(place, small)
    return made, (answers(made, exam.x).argmax(1) == exam.y).double().mean().item()


@functools.lru_cache(maxsize=8)
def alone(seed, size, small):
    place = world(seed, size, small)
    student, exam = trained(get("alone")(), place, seed), held(place, small)
    return (answers(student, exam.x).argmax(1) == exam.y).double().mean().item()
