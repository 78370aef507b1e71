"""ATST: audio teacher-student transformer (Li, Shao and Li, 2024)."""

import torch
from torch import nn

from understudy.core.card import Card
from understudy.core.method import Method, choice, freeze, register, span
from understudy.core.taps import probe
from understudy.parts.divergence import wide
from understudy.parts.ema import ema_
from understudy.parts.projector import mlp
from understudy.parts.relation import unit
from understudy.parts.schedule import risen
from understudy.parts.sounds import blocks, mixed, segment, stretched


class Blank(nn.Module):
    """What a hidden frame is replaced by, learned; [N, 1, B, T], hidden [N, T] -> [N, 1, B, T]"""

    def __init__(self, bands):
        super().__init__()
        self.frame = nn.Parameter(0.02 * torch.randn(bands, 1))

    def forward(self, x, hidden):
        return torch.where(hidden[:, None, None], self.frame.to(x), x)


@register
class ATST(Method):
    r"""A transformer foretells what its own average hears in another view of a sound: of a whole clip, or of each hidden frame.

        clip:   L = mean_i (2 - 2 cos(q(g(f_0(v))), g'(f'_0(v')))) and the same with v and v' exchanged, halved
        frame:  the same with f_k for f_0, and the mean over rows i and frames k that are hidden from f

    f_0 is a network's class token and f_k its k-th frame, g a projector, q a predictor; a prime is the average, which sees all
    frames. clip: v, v' are two segments of the sound. frame: they are the same segment, changed apart but frame for frame, and
    f sees blanks in place of `hide` of the frames, in runs of `run`. After step k of K the average goes a share 1 - tau of the
    way to the student, tau = 1 - (1 - decay) (cos(pi k / K) + 1) / 2.

    Shapes: x [N, 1, B, T] B bands, T frames; f [N, 1 + T, D] class token and frames; g, q [..., dim].
    Departures: a blank is a learned frame of sound rather than a learned token. Changes are mixup with other rows of the batch,
    and, of clips, a random crop of the picture stretched to its size; frames aren't warped. The two aren't combined by
    fine-tuning: that takes labels.
    """

    card = Card(
        "Self-supervised Audio Teacher-Student Transformer for Both Clip-level and Frame-level Tasks", "arXiv:2306.04186", 2024,
        slug="atst", world="hearing", baseline={"level": "clip"}, tags={"self", "average", "batch"}, forwards=4,
        tune={"decay": (0.9, 0.97, 0.99, 0.996)}, tasks=("classify",),
    )  # fmt: skip

    level: str = choice("frame", "clip")
    decay: float = span(0.99, 0, 1)  # of the average at first
    hide: float = span(0.65, 0.01, 1)  # share of the frames that the student doesn't see; frames only
    run: int = span(5, 1, 1000)  # frames that are hidden together
    part: float = span(0.6, 0.01, 1)  # of the sound in a segment; clips only
    mix: float = span(0.4, 0, 1)  # most of another row that is mixed in
    hidden: int = span(128, 1, 65536)  # width inside projector and predictor
    dim: int = span(32, 1, 65536)  # of what is foretold

    def setup(self, world):
        student, x = world.student(), world.rows(0).x
        projector = mlp(probe(student, "", x).shape[-1], self.hidden, self.dim)
        nets = {"student": student, "teacher": freeze(student), "projector": projector, "target": freeze(projector),
                "predictor": mlp(self.dim, self.hidden, self.dim)}  # fmt: skip
        return nets | ({"blank": Blank(x.shape[2])} if self.level == "frame" else {})

    def source(self, run):
        batch = run.rows()
        if self.level == "clip":
            batch["views"] = [stretched(mixed(segment(batch.x, self.part), self.mix)) for _ in range(2)]
        else:
            batch["views"] = [mixed(batch.x, self.mix) for _ in range(2)]
            batch["hidden"] = [blocks(batch.x, self.hide, self.run) for _ in range(2)]
        batch["z"] = [run["teacher"](v) for v in batch.views]
        return batch

    def loss(self, run, batch):
        terms = []
        for i, view in enumerate(batch.views):
            if self.level == "clip":
                f, z = (said[:, 0] for said in (run["student"](view), batch.z[1 - i]))
            else:
                hidden = batch.hidden[i]
                f, z = (said[:, 1:][hidden] for said in (run["student"](run["blank"](view, hidden)), batch.z[1 - i]))
            foretold, heard = run["predictor"](run["projector"](f)), run["target"](z)
            terms.append(2 - 2 * (unit(wide(foretold)) * unit(wide(heard))).sum(-1).mean())
        return {"foretell": sum(terms) / 2}

    def after_step(self, run, batch):
        decay = risen(self.decay, run.step, run.world.steps)
        ema_(run["teacher"], run["student"], decay)
        ema_(run["target"], run["projector"], decay)
