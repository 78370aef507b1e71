"""LLM2LLM on intents: accuracy round by round, and what the teacher wrote for sentences that were wrong."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.worlds import WORLDS


def scene() -> Figure:
    world = WORLDS["intents"](1001, ready=True)
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), width_ratios=(1, 1.35), layout="constrained")
    for targets, colour in (("any", "tab:gray"), ("wrong", "tab:red")):
        run = start(registry.get("llm2llm")(new=8, targets=targets), world, 0, device="cpu")
        seen, pairs = [], []

        def after(r, seen=seen, pairs=pairs):
            length = world.steps // r.method.rounds
            if r.step % length == length - 1 or r.step == world.steps:  # the step before a student is born again
                seen.append(
                    (
                        1 + r.step // length if r.step < world.steps else r.method.rounds,
                        world.validate(r["student"]),
                        int(r["pool"].count),
                    )
                )

        fit(run, after=after)
        seen = list({n: (n, score, rows) for n, score, rows in seen}.values())
        n, score, rows = zip(*seen, strict=True)
        label = {"wrong": "rows for wrong seeds", "any": "as many for any seeds"}[targets]
        left.plot(n, score, "o-", color=colour, label=label, lw=2)
        for at in (0, len(n) // 2, len(n) - 1):
            left.annotate(f"{rows[at]} rows", (n[at], score[at]), xytext=(0, 9 if targets == "wrong" else -16), textcoords="offset points",
                          ha="center", fontsize=8, color=colour)  # fmt: skip
    left.set(
        xlim=(0.3, len(n) + 0.8),
        xlabel="round, each from the base weights",
        ylabel="accuracy, validation",
        xticks=list(n),
        ylim=(min(score) - 0.15, 1),
    )
    left.legend(loc="lower right")
    words, pool = world.data.words, run["pool"]
    lines, at, shown = [], 60, set()
    while at < int(pool.count) and len(shown) < 4:  # rows of a round lie sentence by sentence, eight times over
        new = words.text(pool.x[at])
        intent = world.data.classes[int(pool.y[at])]
        if intent not in shown and new:
            shown.add(intent)
            same = [i for i in range(at, min(at + 400, int(pool.count))) if pool.y[i] == pool.y[at]]
            fresh = list(dict.fromkeys(words.text(pool.x[i]) for i in same))[:4]
            lines += [(intent, fresh)]
        at += 1
    y = 0.97
    right.set_axis_off()
    right.set_title("what the teacher wrote where the student was wrong", fontsize=11, loc="left")
    for intent, fresh in lines:
        right.text(0, y, intent, weight="bold", color="tab:red", fontsize=11, transform=right.transAxes, va="top")
        for text in fresh:
            y -= 0.052
            right.text(0.03, y, text, fontsize=10, transform=right.transAxes, va="top")
        y -= 0.075
    return fig
