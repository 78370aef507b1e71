"""ALM: how likely stretches of held-out text are to a teacher and to a student of another tokenizer, before and after; the nearer to the diagonal, the
more the student believes of a stretch what the teacher does, whatever words it takes for it."""

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from understudy.core import registry
from understudy.core.batch import each
from understudy.core.fit import fit
from understudy.core.run import start
from understudy.models.lm import evaluating
from understudy.parts.tongues import span_logp
from understudy.worlds import WORLDS


def scene() -> Figure:
    world = WORLDS["tongues"](1000, ready=True)
    fig, axes = plt.subplots(1, 3, figsize=(11, 3.9), sharey=True, layout="constrained")
    runs = {"before": None, "text alone": "alone", "ALM": "alm"}
    for ax, (title, name) in zip(axes, runs.items(), strict=True):
        run = start(registry.get(name or "alm")(), world, 0, device="cpu")
        if name:
            fit(run)
        teacher = run["teacher"] if "teacher" in run.nets else world.teacher()
        q, p = stretches(run["student"], teacher, world.data.valid.x)
        ax.hexbin(p, q, gridsize=45, extent=(-14, 0, -14, 0), bins="log", cmap="magma_r", mincnt=1)
        ax.plot([-14, 0], [-14, 0], color="tab:green", lw=1.5)
        ax.set(
            title=f"{title}: {(p - q).abs().mean():.2f} nats apart",
            xlabel="teacher, log-likelihood of a stretch",
            xlim=(-14, 0),
            ylim=(-14, 0),
        )
    axes[0].set_ylabel("student")
    return fig


@torch.no_grad()
def stretches(student, teacher, x):
    """Log-likelihoods of the stretches of 300 rows."""
    with evaluating(student), evaluating(teacher):
        mine, its = (each(x.of(v), lambda t: t[:300]) for v in ("student", "teacher"))
        spans = int(mine["span"].max()) + 1
        q, p = (span_logp(net(v), v["next"], v["span"], spans) for net, v in ((student, mine), (teacher, its)))
    return q[q < 0], p[q < 0]
