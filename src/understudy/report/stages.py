"""What a method made of its world, as pictures: rows that are drawn, boxes that are found, regions that are told apart."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor, nn

from understudy.core.batch import Batch
from understudy.core.run import Run, artefact
from understudy.core.seeds import stream
from understudy.report.drawing import COLOURS, MUTED, STUDENT, TEACHER, TERMS, style

TRUE = TERMS[2]
REGIONS = ListedColormap(["none", *TERMS[2:], *TERMS[:2]])  # the background, then classes
SURE, SHOWN, DRAWN = 0.5, 8, 48  # least score of a box, pictures of a kind, and drawn rows
POINTS = 1500  # rows of the plane


@dataclass(frozen=True)
class Shot:
    """A picture [PNG as a data address], what it shows, and a word below it."""

    src: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Album:
    """Pictures under one title; wide: each as wide as a phone; smooth: drawn rather than made of large pixels."""

    title: str
    note: str
    shots: tuple[Shot, ...]
    wide: bool = False
    smooth: bool = False


def album(run: Run) -> Album | None:
    """The pictures of a run of that kind of task; None where its kind has none."""
    if not isinstance(made := artefact(run), nn.Module):
        return _condensed(made)
    draw: dict[str, Callable[[Run, nn.Module], Album | None]] = {"generate": _generated, "detect": _found, "segment": _segmented}
    return draw[run.world.task](run, made) if run.world.task in draw else None


def _casts(run: Run, made: nn.Module) -> dict[str, nn.Module]:
    """Who is shown: the teacher, where it is a network of the run, and what came of it."""
    return {"teacher": run["teacher"], "student": made} if "teacher" in run.nets else {"student": made}


# rows that are drawn ---------------------------------------------------------------------------------------------------------------


def _generated(run: Run, made: nn.Module) -> Album | None:
    data: Any = run.world.data  # type: ignore[attr-defined]
    real = data.valid.x
    with stream(run.seed, "report"):
        z = torch.randn(min(POINTS, len(real)), *real.shape[1:]).to(real)
    drawn = {"real rows": real[: len(z)], "student": _said(made, z)}
    if (said := _teacher_draws(run, z)) is not None:
        drawn = {"real rows": drawn["real rows"], "teacher, 40 steps": said, "student": drawn["student"]}
    if (side := _side(real)) is None:
        return _plane(drawn) if real[0].numel() == 2 else None
    shots = tuple(
        Shot(_png(_mosaic(x[:DRAWN].reshape(-1, *side))), f"{len(x[:DRAWN])} pictures: {who}", who) for who, x in drawn.items()
    )
    return Album("What is drawn", "Rows that nobody learned from, and as many drawn from the same noise.", shots)


def _teacher_draws(run: Run, z: Tensor) -> Tensor | None:
    """What a diffusion teacher makes of the noise in many steps; None of another kind of teacher, and without diffusers."""
    import importlib.util

    from understudy.worlds.mixture import Denoiser, many_steps

    teacher = run.world.teacher()
    if not isinstance(teacher, Denoiser) or importlib.util.find_spec("diffusers") is None:
        return None
    return many_steps(teacher, z, 40)


def _side(x: Tensor) -> tuple[int, ...] | None:
    """The shape of a row as a picture: its own, or a square of at least 16 numbers; None where it is none."""
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return tuple(x.shape[1:])
    side = math.isqrt(x[0].numel())
    return (1, side, side) if x.ndim == 2 and side >= 4 and side**2 == x.shape[1] else None


def _mosaic(x: Tensor, across: int = 8) -> np.ndarray:
    """[N, 1 or 3, H, W] as one picture of bytes, a pixel apart; darkest black and brightest white over all, but for a hundredth."""
    x = x.detach().cpu().double()
    low, high = torch.quantile(x.flatten()[:: max(1, x.numel() // 10**6)], torch.tensor([0.005, 0.995], dtype=torch.double))
    x = ((x - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    n, c, h, w = x.shape
    down = -(-n // across)
    whole = torch.full((c, down * (h + 1) - 1, across * (w + 1) - 1), 0.5, dtype=torch.double)
    for i in range(n):
        top, left = i // across * (h + 1), i % across * (w + 1)
        whole[:, top : top + h, left : left + w] = x[i]
    pixels = (whole * 255).round().byte().numpy()
    return pixels[0] if c == 1 else pixels.transpose(1, 2, 0)


def _plane(drawn: Mapping[str, Tensor]) -> Album:
    """Rows of two numbers, side by side at one scale."""
    whole = torch.cat([next(iter(drawn.values())), drawn["student"]])
    low, high = whole.quantile(0.005, 0).tolist(), whole.quantile(0.995, 0).tolist()
    shots = []
    for who, x in drawn.items():
        with _panel(3.0) as (figure, ax):
            paint = TEACHER if who.startswith("teacher") else STUDENT if who == "student" else TERMS[2]
            ax.scatter(*x.detach().cpu().T.numpy(), s=4, alpha=0.4, linewidths=0, color=paint)
            pad = [0.08 * (b - a) for a, b in zip(low, high, strict=True)]
            ax.set(xlim=(low[0] - pad[0], high[0] + pad[0]), ylim=(low[1] - pad[1], high[1] + pad[1]))
            shots.append(Shot(_drawn(figure), f"{len(x):,} rows in the plane: {who}", who))
    return Album(
        "What is drawn",
        "Rows that nobody learned from, and as many drawn from the same noise.",
        tuple(shots),
        wide=True,
        smooth=True,
    )


def _condensed(made: Batch) -> Album | None:
    """A data set that was made, row by row."""
    if not isinstance(made.get("x"), Tensor) or (side := _side(made["x"])) is None:
        return None
    x = made["x"][:DRAWN]
    y = made.get("y")
    names = [
        str(int(v)) if isinstance(y, Tensor) and y.ndim == 1 else f"row {i}"
        for i, v in enumerate(y if isinstance(y, Tensor) and y.ndim == 1 else x)
    ]
    shots = tuple(
        Shot(_png(_mosaic(row.reshape(1, *side), 1)), f"made row {i}: {name}", name)
        for i, (row, name) in enumerate(zip(x, names, strict=True))
    )
    return Album("What was made", "The rows of the data set, with their labels.", shots)


# boxes and regions -----------------------------------------------------------------------------------------------------------------


def _found(run: Run, made: nn.Module) -> Album:
    from understudy.tasks import task

    data: Any = run.world.data  # type: ignore[attr-defined]
    x = data.valid.x[:SHOWN]
    said = {who: task("detect").predict(_said(net, x)) for who, net in _casts(run, made).items()}
    none, shots = _said(made, x[:1])["logits"].shape[-1] - 1, []
    for i in range(len(x)):
        names = data.valid.y["labels"][i]
        there = (names >= 0) & (names < none)
        with style():
            figure = _row(2.3 * len(said), 2.45)
            told = [f"true {int(there.sum())}"]
            for ax, (who, s) in zip(np.atleast_1d(figure.subplots(1, len(said))), said.items(), strict=True):
                _shown(ax, x[i])
                sure = s["scores"][i] > SURE
                paint = COLOURS[who]
                _boxes(ax, data.valid.y["boxes"][i][there], [f"{int(c)}" for c in names[there]], TRUE, True)
                scores = [f"{int(c)} {float(v):.2f}" for c, v in zip(s["labels"][i][sure], s["scores"][i][sure], strict=True)]
                _boxes(ax, s["boxes"][i][sure], scores, paint, False)
                ax.set_title(who, fontsize=9, color=paint, loc="center", pad=2)
                told.append(f"{who} {len(scores)}")
            shots.append(Shot(_drawn(figure, 110), f"validation picture {i}; boxes: {', '.join(told)}", ", ".join(told)))
    note = f"Validation pictures. Dashed: what is there; lines: what each finds, where its score is above {SURE}. Class and score stand at the boxes."
    return Album("What is found", note, tuple(shots), wide=True, smooth=True)


def _boxes(ax: Axes, places: Tensor, names: list[str], paint: str, true: bool) -> None:
    for (x0, y0, x1, y1), name in zip(places.tolist(), names, strict=True):
        dash = (0, (3, 2)) if true else "-"
        ax.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, color=paint, linewidth=1.5, linestyle=dash))
        ax.text(x0, y1 if true else y0, name, color="white", fontsize=6.5, va="top" if true else "bottom",
                bbox={"color": paint, "pad": 0.8, "alpha": 0.85}, clip_on=True)  # fmt: skip


def _segmented(run: Run, made: nn.Module) -> Album:
    data: Any = run.world.data  # type: ignore[attr-defined]
    x, y = data.valid.x[:SHOWN], data.valid.y[:SHOWN]
    said = {who: _said(net, x).argmax(1) for who, net in _casts(run, made).items()}
    shots = []
    for i in range(len(x)):
        panels = {"picture": None, "true": y[i]} | {who: labels[i] for who, labels in said.items()}
        with style():
            figure = _row(1.5 * len(panels), 1.68)
            for ax, (who, labels) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
                _shown(ax, x[i])
                if labels is not None:
                    ax.imshow(
                        labels.cpu().clamp(min=0).numpy() % REGIONS.N,
                        cmap=REGIONS,
                        vmin=-0.5,
                        vmax=REGIONS.N - 0.5,
                        alpha=0.55,
                        interpolation="nearest",
                    )
                ax.set_title(who, fontsize=8, color=COLOURS.get(who, MUTED), loc="center", pad=2)
            known = y[i] >= 0
            right = ", ".join(
                f"{who} right at {100 * float((s[i] == y[i])[known].double().mean()):.1f} % of the pixels"
                for who, s in said.items()
            )
            shots.append(Shot(_drawn(figure, 110), f"validation picture {i} and its regions; {right}", right))
    return Album(
        "What is told apart",
        "Validation pictures, with the regions that are there and those that each network tells apart.",
        tuple(shots),
        wide=True,
        smooth=True,
    )


# between tensors and pictures --------------------------------------------------------------------------------------------------------


def _said(net: nn.Module, x: Tensor) -> Any:
    """What a network says in evaluation mode, on the CPU."""
    modes = [(m, m.training) for m in net.modules()]
    try:
        with torch.no_grad():
            return net.eval()(x)
    finally:
        for m, mode in modes:
            m.training = mode


def _row(wide: float, high: float) -> Figure:
    """A figure for pictures side by side, with room for a title; inches."""
    figure = Figure(figsize=(wide, high))
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.01, top=1 - 0.27 / high, wspace=0.03)
    return figure


@contextmanager
def _panel(inches: float) -> Iterator[tuple[Figure, Axes]]:
    with style():
        figure = Figure(figsize=(inches, inches), layout="constrained")
        ax = figure.subplots()
        ax.tick_params(labelsize=7)
        yield figure, ax


def _shown(ax: Axes, picture: Tensor) -> None:
    """[1 or 3, H, W] behind whatever is drawn on it."""
    pixels = _mosaic(picture[None], 1)
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set(xlim=(-0.5, pixels.shape[1] - 0.5), ylim=(pixels.shape[0] - 0.5, -0.5))


def _drawn(figure: Figure, dpi: int = 100) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return _png(Image.open(file).convert("RGB"))


def _png(picture: Any) -> str:
    """As a data address, of few colours and so of few bytes."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    (image.quantize(128) if image.mode == "RGB" else image).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
