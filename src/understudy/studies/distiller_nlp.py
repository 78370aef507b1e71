"""Which choice of a distillation pipeline matters most, and can it be told beforehand? (He et al., SustaiNLP 2021)"""

import statistics

from scipy.stats import rankdata

from understudy.core.registry import get
from understudy.core.world import recast
from understudy.prove import interval
from understudy.studies import Claim, Finding, Study, seeds
from understudy.study import trained
from understudy.worlds.phrases import phrases

CHOICES = {"states": ("inside", "layers"), "augmentation": ("drop",), "mixup": ("mix",)}  # a choice, and its settings


class Pipelines(Study):
    """How inner states are distilled matters most, by mutual information it works best, and a good pipeline can be foretold.

    Every combination of {MI-alpha, linear CKA, squared error} of states, last or all layers, words left out or not, phrases
    mixed or not is trained on five questions about phrases. What a choice is worth is its share of the variance of test
    accuracy over the 24 pipelines, less what chance would give (omega squared); one number for each question and seed, and
    intervals are over these.

    The claim holds where (1) the states' share is larger than that of augmentation and of mixup; (2) MI-alpha is better than
    the better of the two others, as means over all else; (3) augmentation helps; (4) the pipeline of the best mean rank on the
    other four questions is better than the mean of all on the fifth. In each case the interval lies above 0.

    Departures: the paper tunes many more choices on real data sets and BERTs, its augmentations rewrite text, and its
    AutoDistiller learns from features of a task. The questions share their phrases, so the intervals take for granted more than
    there is.
    """

    card = Claim(
        "Distiller: A Systematic Study of Model Distillation Methods in Natural Language Processing", "arXiv:2109.11105", 2021,
        "What is done with states matters most, MI-alpha does best, augmentation helps, and other tasks foretell good pipelines.",
        slug="distiller-nlp", worlds=("phrases",), seeds=2,
    )  # fmt: skip

    grid = {"kind": ("mood", "negation", "topic", "order", "halves"), "inside": ("mi", "cka", "mse"),
            "layers": ("last", "uniform"), "drop": (0.0, 0.3), "mix": (0.0, 1.0)}  # fmt: skip
    little = {"kind": ("mood", "order"), "inside": ("mi", "mse"), "layers": ("last",), "drop": (0.0, 0.3), "mix": (0.0,)}

    def measure(self, at, seed, small=False):
        place = phrases(seed, ready=True, small=small, kind=at["kind"])
        place = recast(place, steps=4) if small else place
        method = get("distiller")(inside=at["inside"], layers=at["layers"], drop=at["drop"], mix=at["mix"])
        student, marked = trained(method, place, seed), place.validate if small else place.score
        return {"accuracy": marked(student), "teacher": marked(place.teacher())}

    def outcome(self, cells):
        kinds, parts = list(dict.fromkeys(c.at["kind"] for c in cells)), {"share": [], "mi": [], "drop": [], "told": []}
        for seed in seeds(cells):
            tables = {k: {_pipeline(c): c.got["accuracy"] for c in cells if c.seed == seed and c.at["kind"] == k} for k in kinds}
            for kind, table in tables.items():
                share = worth(table)
                parts["share"].append(share["states"] - max(share["augmentation"], share["mixup"]))
                level = lambda name, value, table=table: statistics.mean(v for k, v in table.items() if dict(k)[name] == value)
                others = {dict(k)["inside"] for k in table} - {"mi"}
                parts["mi"].append(level("inside", "mi") - max(level("inside", o) for o in others))
                parts["drop"].append(level("drop", 0.3) - level("drop", 0.0))
                parts["told"].append(
                    table[foretold([t for k, t in tables.items() if k != kind])] - statistics.mean(table.values())
                )
        said = {"share": "share of variance: states over the next choice", "mi": "accuracy: MI-alpha over the next objective",
                "drop": "accuracy: words left out over not", "told": "accuracy: foretold pipeline over the mean one"}  # fmt: skip
        return [Finding(said[k], interval(v), interval(v)["low"] > 0) for k, v in parts.items()]


def _pipeline(cell):
    return tuple((k, v) for k, v in cell.at.items() if k != "kind")


def worth(table):
    """Omega squared of each choice: the share of variance that its levels explain, beyond what as many levels would by chance."""
    mean = statistics.mean(table.values())
    total, between, free = sum((v - mean) ** 2 for v in table.values()), {}, {}
    for choice, names in CHOICES.items():
        groups = {}
        for pipeline, v in table.items():
            groups.setdefault(tuple(dict(pipeline)[n] for n in names), []).append(v)
        between[choice] = sum(len(g) * (statistics.mean(g) - mean) ** 2 for g in groups.values())
        free[choice] = len(groups) - 1
    left = len(table) - 1 - sum(free.values())
    noise = max(total - sum(between.values()), 0.0) / left if left else 0.0
    return {c: (between[c] - free[c] * noise) / (total + noise) if total else 0.0 for c in CHOICES}


def foretold(tables):
    """The pipeline of the best mean rank in these."""
    pipelines = list(tables[0])
    ranks = [rankdata([t[p] for p in pipelines]) for t in tables]
    return pipelines[max(range(len(pipelines)), key=lambda i: sum(r[i] for r in ranks))]
