"""Labels that lie aside, then a few that do not, or teachers of both? (Neupane, Aryal and Rajabifard, 2023)"""

from understudy.core.registry import get
from understudy.core.world import recast
from understudy.prove import interval
from understudy.studies import Claim, Finding, Study, over, seeds
from understudy.study import trained
from understudy.worlds.buildings import HEIGHTS, buildings
from understudy.worlds.digits import Part


class Aslant(Study):
    """A network that has learned from many misaligned labels and goes on with few clean ones beats what a teacher makes of both.

    Generated pictures of buildings of four heights, whose labels lie the further aside the taller they are, and a twentieth of
    as many with labels that don't. Four ways, each with 320 updates of the network that is scored: clean labels alone (clean);
    the first half of the updates on misaligned labels, the second on clean ones (SDA); clean labels and the soft masks of one
    that learned from misaligned ones for 160 updates (KD); two networks that learn from all labels and each other (DML).
    Dice of the roofs, which is their F1, on test pictures of each height.

    The claim holds where SDA has a higher Dice than KD, and than DML, at each of the four heights: the interval over seeds lies
    above 0 in all eight.

    Departures: the paper first picks among 43 encoders, seven decoders, five descents and nine losses; here it is one U-Net,
    Adam and one loss. Pictures are generated, where the paper has three data sets of photographs. `kd` and `dml` are at their
    published settings but for the temperature, 1, since masks have two classes.
    """

    card = Claim(
        "Supervised domain adaptation for building extraction from off-nadir aerial images", "arXiv:2311.03867", 2023,
        "Misaligned labels first and few clean ones then beat distillation and mutual learning at every height.",
        slug="sda-building", worlds=("buildings",), seeds=5,
    )  # fmt: skip

    grid = {"way": ("clean", "SDA", "KD", "DML")}
    little = grid

    def measure(self, at, seed, small=False):
        way, steps = at["way"], 4 if small else 160
        place = lambda labels, budget, **more: recast(buildings(seed, small=small, labels=labels), steps=budget, **more)
        clean, alone = place("clean", 2 * steps), get("alone")()
        if way == "clean":
            net = trained(alone, clean, seed)
        elif way == "DML":
            net = trained(get("dml")(), place("both", 2 * steps), seed)
        else:
            first = trained(alone, place("noisy", steps), seed)
            if way == "SDA":
                net = trained(alone, place("clean", steps, new_student=lambda: first), seed)
            else:
                net = trained(get("kd")(t=1.0), recast(clean, given_teacher=first), seed)
        rows = clean.data.valid if small else clean.data.test
        kinds = {name: Part(rows.x[k :: len(HEIGHTS)], rows.y[k :: len(HEIGHTS)]) for k, name in enumerate(HEIGHTS)}
        return {name: clean.measure(net, part)["dice"] for name, part in kinds.items()}

    def outcome(self, cells):
        found = []
        for other in ("KD", "DML"):
            for height in HEIGHTS:
                of = lambda way, seed, height=height: over(cells, height, seed, {"way": way})[0]
                gained = [of("SDA", seed) - of(other, seed) for seed in seeds(cells)]
                found.append((f"Dice, {height}: SDA over {other}", interval(gained)))
        return [Finding(what, effect, effect["low"] > 0) for what, effect in found]
