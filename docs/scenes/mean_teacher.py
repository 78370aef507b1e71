"""Mean Teacher: how often the student and the average of it are right on validation rows while it learns; and how far their
answers about two views of a row are from one another."""

from matplotlib.figure import Figure

from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.core.seeds import stream
from understudy.parts.poses import weakly
from understudy.worlds.rows import answers
from understudy.worlds.utterances import utterances


def scene() -> Figure:
    world = utterances(1000)
    run, x, y = start(get("mean-teacher")(weight=10.0), world, 1000, device="cpu"), world.data.valid.x, world.data.valid.y
    steps, right, apart = range(0, world.steps + 1, 10), {"student": [], "teacher": []}, []
    for step in steps:
        fit(run, step)
        for name, values in right.items():
            values.append(100 * (answers(run[name], x).argmax(1) == y).double().mean().item())
        with stream("scene"):
            both = [answers(run[name], weakly(x)).softmax(-1) for name in right]
        apart.append((both[0] - both[1]).square().sum(1).mean().item())
    figure = Figure((10.5, 3.8), layout="constrained")
    left, middle = figure.subplots(1, 2)
    for (name, values), colour in zip(right.items(), ("0.6", "tab:blue"), strict=True):
        left.plot(steps, values, color=colour, lw=2, label={"student": "student", "teacher": "average of it"}[name])
    left.set(xlabel="updates", ylabel="right on validation rows (%)", ylim=(0, 102))
    left.legend(frameon=False, loc="lower right")
    middle.plot(steps, apart, color="tab:red", lw=2)
    middle.set(xlabel="updates", ylabel="squared distance of their answers", ylim=(0, None))
    return figure
