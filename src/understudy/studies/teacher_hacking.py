"""Does a student that imitates its teacher too long move away from the truth? (Tiapkin et al., ICML 2025)"""

from understudy.core.registry import get
from understudy.core.world import recast
from understudy.prove import interval
from understudy.studies import Claim, Finding, Study, over, seeds
from understudy.study import trained
from understudy.worlds.whispers import whispers

# whose answers are learned from, to how many prompts, how many to each
SOURCES = {
    "offline": ("offline", 64, 1),
    "few prompts": ("offline", 16, 4),
    "many answers": ("offline", 64, 8),
    "online": ("online", 64, 1),
    "on-policy": ("on-policy", 64, 1),
}
RISE = 0.02  # of its lowest value: less isn't called a rise
STEPS, EVERY = 900, 60


class TeacherHacking(Study):
    """On a fixed set of answers the student goes on approaching its teacher while it leaves the oracle that the teacher heard.

    Golden is the divergence from the oracle, whose probabilities are exact; proxy that from the teacher; both in nats a word,
    on prompts that nobody learned from. The student learns the teacher's answers to 64 prompts, kept once (offline), to 16
    prompts with four answers each (as many rows, less diverse), to 64 with eight each (more), answers given anew at every step
    (online), or its own (on-policy).

    Golden rises by its last value over its lowest, minus 1. The claim holds where (1) offline it rises by 2 % and more; (2) from
    that lowest point on proxy falls; (3, 4) online and on-policy golden rises by less than 2 %, and by less than offline; (5)
    with more answers it rises by less, and (6) with fewer prompts by more than offline. Each is an interval over seeds.

    Departures: the paper's three are T5s and its prompts are real. Here the oracle is a hidden Markov model, teacher and
    student are recurrent networks, which begin as what they made of the same 2,000 sequences of the oracle's. Forward KL only.
    """

    card = Claim(
        "On Teacher Hacking in Language Model Distillation", "arXiv:2502.02671", 2025,
        "On fixed answers the distance to the oracle rises while that to the teacher falls; on fresh or diverse ones it doesn't.",
        slug="teacher-hacking", worlds=("whispers",),
    )  # fmt: skip

    grid = {"source": tuple(SOURCES)}
    little = grid

    def measure(self, at, seed, small=False):
        signal, prompts, answers = SOURCES[at["source"]]
        place = recast(
            whispers(seed, ready=True, small=small, prompts=prompts, answers=answers, signal=signal), steps=12 if small else STEPS
        )
        steps, golden, proxy = [], [], []

        def look(run):
            if run.step % (3 if small else EVERY) == 0:
                seen = place.apart(run["student"], place.data.valid)
                steps.append(run.step)
                golden.append(seen["golden"])
                proxy.append(seen["proxy"])

        trained(get("kd")(a=1.0, t=1.0), place, seed, after=look)
        apart = lambda net: place.apart(net, place.data.valid)
        return {
            "steps": steps,
            "golden": golden,
            "proxy": proxy,
            "teacher": apart(place.given_teacher)["golden"],
            "start": apart(place.student()),
        }

    def outcome(self, cells):
        rise, falls = {name: [] for name in SOURCES}, []
        for seed in seeds(cells):
            for name in SOURCES:
                (golden,), (proxy,) = (over(cells, k, seed, {"source": name}) for k in ("golden", "proxy"))
                low = golden.index(min(golden))
                rise[name].append(golden[-1] / golden[low] - 1)
                if name == "offline":
                    falls.append(proxy[-1] / proxy[low] - 1)
        less = lambda a, b: interval([x - y for x, y in zip(rise[a], rise[b], strict=True)])
        hacked, nearer = interval(rise["offline"]), interval(falls)
        found = [
            Finding(f"offline: rise of the distance to the oracle, at least {RISE}", hacked, hacked["low"] >= RISE),
            Finding("offline: change of the distance to the teacher meanwhile", nearer, nearer["high"] < 0),
        ]
        for name in ("online", "on-policy"):
            here, spared = interval(rise[name]), less("offline", name)
            found.append(Finding(f"{name}: rise of the distance to the oracle, less than {RISE}", here, here["high"] < RISE))
            found.append(Finding(f"rise offline over {name}", spared, spared["low"] > 0))
        for what, effect in (("rise offline over many answers", less("offline", "many answers")),
                             ("rise on few prompts over offline", less("few prompts", "offline"))):  # fmt: skip
            found.append(Finding(what, effect, effect["low"] > 0))
        return found
