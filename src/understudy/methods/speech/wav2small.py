"""Wav2Small: speech emotion recognition with 72 thousand parameters (Kounades-Bastian et al., 2024)."""

import torch

from understudy.core.batch import Batch
from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.concordance import ccc


@register
class Wav2Small(Method):
    r"""People disagree about the feeling in a voice; a large network annotates voices and their mixtures for a tiny one.

    With x~_i = c x_i + (1 - c) x_j, c uniform, for some rows and x_i for others, and s, u what student and teacher hear in it,

        L = mean over arousal, dominance, valence of 1 - CCC(s, u),  CCC = 2 cov(s, u) / (var s + var u + (mean s - mean u)^2)

    whose moments are over the batch. No human label is used.

    Shapes: x [N, T] waveforms; s, u [N, 3].
    Departures: no training code is public, and the abstract is silent on augmentation and optimiser: that pairs are mixed with
    uniform weights, half of the rows, is this file's reading of mixing audio. Any student and teacher of waveforms will do; the
    authors' teacher joins a WavLM and a wav2vec 2.0, and Wav2Small in `understudy.models` is their student.
    """

    card = Card(
        "Wav2Small: Distilling Wav2Vec2 to 72K Parameters for Low-Resource Speech Emotion Recognition", "arXiv:2408.13920", 2024,
        slug="wav2small", world="voices", baseline="alone", tags={"teacher", "matching", "batch"}, tasks=("affect",),
        tune={"mix": (0.0, 0.25, 0.5, 1.0)},
    )  # fmt: skip

    mix: float = span(0.5, 0, 1)  # share of the rows that are mixtures

    def source(self, run):
        rows = run.rows()
        n, x = len(rows.x), rows.x
        c = torch.rand(n, 1).to(x)
        mixed = torch.rand(n, 1).to(x) < self.mix
        other = x[torch.randperm(n).to(x.device)]
        hidden = rows.y.masked_fill(mixed, torch.nan)  # nobody has annotated a mixture
        return Batch(rows, x=torch.where(mixed, c * x + (1 - c) * other, x), y=hidden)

    def loss(self, run, batch):
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        return {"concordance": 1 - ccc(s, u).mean()}
