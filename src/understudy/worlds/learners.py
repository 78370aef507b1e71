"""Simulated learners whose traits and prerequisites are known: what will they get right next, and why?"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.core import seal
from understudy.core.errors import refuse
from understudy.core.seeds import stream
from understudy.core.world import Player
from understudy.parts.schedule import cosine
from understudy.parts.state_space import ou
from understudy.worlds.rows import Rows

ALWAYS = "the test split of a small world"


@dataclass
class Part:
    x: dict[str, Tensor]
    y: Tensor


class Splits:
    """train: the first answers of all learners; valid and test: the answers after those, of one half of the learners each.

    A row of valid and test shows the first answers too, with their y hidden; those to be foretold are -1 in x, with y known.
    """

    def __init__(self, skill: Tensor, answer: Tensor, time: Tensor, shown: int, what: str) -> None:
        """[N, L] each, answers -1 where a sequence is over; shown: how many answers of each are for training"""
        y = answer.to(torch.get_default_dtype()).masked_fill(answer < 0, torch.nan)
        part = lambda rows, cut, known, y: Part(
            {"skill": skill[rows, :cut], "answer": known[rows, :cut], "time": time[rows, :cut]}, y[rows, :cut]
        )
        later = torch.arange(skill.shape[1]) >= shown
        foretell = lambda rows: part(rows, None, answer.masked_fill(later, -1), y.masked_fill(~later, torch.nan))
        self.train, self.what = part(slice(None), shown, answer, y), what
        self.valid, self._test = foretell(slice(None, None, 2)), foretell(slice(1, None, 2))

    @property
    def test(self) -> Part:
        if self.what == ALWAYS:
            raise seal.Sealed(f"{self.what} was read")
        seal.check(self.what)
        return self._test


class DKT(nn.Module):
    """An LSTM over skills and answers (Piech et al., 2015) that is also told the gaps in time (Nagatani et al., 2019).

    x: skill, answer (-1 where not known), time [N, L] -> log-odds [N, L] of each answer, from those before it; where an answer
    isn't known its probability stands for it, one step after the other.
    """

    def __init__(self, skills: int, hidden: int) -> None:
        super().__init__()
        self.skills = skills
        self.cell, self.head = nn.LSTM(2 * skills + 1, hidden, batch_first=True), nn.Linear(hidden + 1, skills)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        known, dtype = x["answer"] >= 0, self.head.weight.dtype
        gap = F.pad(x["time"].diff(dim=1), (1, 0)).clamp_min(0).log1p().to(dtype)[..., None]
        asked = F.one_hot(x["skill"], self.skills).to(dtype)
        first = int(known.all(0).long().cumprod(0).sum())  # so many answers are known of everybody
        seen = lambda n, right: torch.cat([asked[:, n] * right, asked[:, n] * (1 - right), gap[:, n]], -1)
        right = x["answer"].clamp_min(0).to(dtype)[..., None]
        first = min(first, asked.shape[1] - 1)
        read = lambda told, n: (self.head(torch.cat([told, gap[:, n]], -1)) * asked[:, n]).sum(-1)
        told, state = gap.new_zeros(len(gap), 1, self.cell.hidden_size), None
        if first:
            h, state = self.cell(seen(slice(0, first), right[:, :first]))
            told = torch.cat([told, h], 1)
        out = read(told, slice(0, first + 1))
        for n in range(first, asked.shape[1] - 1):
            guess = torch.where(known[:, n, None], right[:, n], out[:, -1:].sigmoid())
            h, state = self.cell(seen(slice(n, n + 1), guess[:, None]), state)
            out = torch.cat([out, read(h, slice(n + 1, n + 2))], 1)
        return out


@dataclass
class Truth:
    """What the simulation was made from: traits [N, 4] (forgetting a day, level, volatility, transfer), graph [K, K] (i before
    k), knowledge [N, L, K] in log-odds before each answer."""

    traits: Tensor
    graph: Tensor
    knowledge: Tensor


def learners(
    seed: int = 0, *, ready: bool = False, small: bool = False, path: str | Path | None = None, size: int = 64, **changes: Any
) -> Rows:
    """64 learners of 10 skills: 40 answers of each to learn from, the 20 after those to be foretold, all at once.

    They learn as PSI-KT supposes, and in two ways that it doesn't know of: practice helps, and answers slip or are guessed. The
    student is a DKT. There is no teacher, so `ready` is the same world.
    path: a file of real answers, three lines a learner (how many, skills, right or wrong), or a folder with `*train.csv` in it,
    the first of which is read; `size` learners of 60 answers or more are drawn. It has no clock: an answer's number, in tens,
    stands for its time.
    """
    if path is not None:
        skill, answer, time = _drawn(_read(Path(path)), 24 if small else size, 60, seed)
    else:
        skill, answer, time, _ = simulated(8 if small else size, 4 if small else 10, 12 if small else 60, key=seed)
    shown = min(8, skill.shape[1] - 4) if small else 40
    skills = 1 + int(skill[:, :shown].max())
    data = Splits(skill, answer, time, shown, ALWAYS if small else "the test split of learners")
    steps = 24 if small else 200
    world = Rows(
        seed=seed, task="trace", data=data, batch=8 if small else 16, steps=steps,
        new_student=lambda: DKT(skills, 4 if small else 24),
        player=Player(functools.partial(torch.optim.Adam, lr=1e-2), cosine(steps), clip=5.0),
    )  # fmt: skip
    vars(world).update(changes)
    return world


def simulated(n: int, skills: int, length: int, *, key: int) -> tuple[Tensor, Tensor, Tensor, Truth]:
    """Skills, answers, times in days [N, L], and what they were made from."""
    with stream(key, "learners"):
        order = torch.randperm(skills)
        edge = (torch.rand(skills, skills) < 2.5 / skills).triu(1)[order][:, order].to(torch.get_default_dtype())
        difficulty = 0.7 * torch.randn(skills)
        alpha, mu = 0.25 * (0.7 * torch.randn(n, 1)).exp(), 0.3 + 0.8 * torch.randn(n, 1)
        sigma, gamma = 0.4 * (0.3 * torch.randn(n, 1)).exp(), 0.4 + 1.2 * torch.rand(n, 1)
        mean = edge / edge.sum(0).clamp(min=1)  # what all prerequisites weigh doesn't hang on how many they are
        z = mu - difficulty + torch.randn(n, skills)
        now, topic = torch.zeros(n, 1), torch.randint(skills, (n, 1))
        seen: list[tuple[Tensor, ...]] = []
        for _ in range(length):
            short, long = torch.empty(n, 1).exponential_(100), torch.empty(n, 1).exponential_(0.5)  # sessions, and days between
            gap = torch.where(torch.rand(n, 1) < 0.2, long, short)
            now = now + gap
            m, v = ou(z, mu - difficulty + gamma * (z @ mean), alpha, sigma, gap)
            z = m + v.sqrt() * torch.randn(n, skills)
            topic = torch.where(torch.rand(n, 1) < 0.5, torch.randint(skills, (n, 1)), topic)
            p = 0.05 + 0.9 * z.gather(1, topic).sigmoid()  # guesses and slips
            seen.append((topic, (torch.rand(n, 1) < p).long(), now, z[:, None]))
            z = z + 0.15 * F.one_hot(topic[:, 0], skills)  # practice helps
    skill, answer, time, knowledge = (torch.cat(t, 1) for t in zip(*seen, strict=True))
    return skill, answer, time, Truth(torch.cat([alpha, mu, sigma, gamma], 1), edge, knowledge)


@functools.cache
def _read(path: Path) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Skills and answers of every learner of a file in triples of lines. Raises `Refused` where it isn't one."""
    found = [path] if path.is_file() else sorted(path.rglob("*train.csv"))
    if not found:
        raise refuse("path", str(path), "a file of answers, or a folder with *train.csv in it", "look for its name")
    lines = [line.strip().strip(",") for line in found[0].read_text().splitlines() if line.strip()]
    three = "three lines a learner: how many answers, their skills, and 0 or 1 for each"
    try:
        whole = [tuple(int(v) for v in line.split(",")) for line in lines]
    except ValueError:
        raise refuse("path", str(found[0]), three, "it has something else than whole numbers") from None
    sequences = tuple(zip(whole[1::3], whole[2::3], strict=False))
    for i, (many, (skills, answers)) in enumerate(zip(whole[::3], sequences, strict=False)):
        if len(whole) % 3 or len(many) != 1 or not many[0] == len(skills) == len(answers) or not set(answers) <= {0, 1}:
            raise refuse("path", str(found[0]), three, f"look at its lines from {3 * i + 1} on")
    return sequences


def _drawn(sequences: Any, size: int, length: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first answers of learners who have enough of them; skills are renumbered, and hidden where nobody trains on them."""
    long = [s for s in sequences if len(s[0]) >= length]
    if len(long) < size:
        raise refuse("size", size, f"at most {len(long)}: so many learners have {length} answers")
    with stream(seed, "learners drawn"):
        mine = [long[int(i)] for i in torch.randperm(len(long))[:size]]
    skill, answer = (torch.tensor([s[k][:length] for s in mine]) for k in (0, 1))
    known = skill[:, : 2 * length // 3].unique()
    place = torch.searchsorted(known, skill).clamp(max=len(known) - 1)
    new = known[place] != skill
    time = torch.arange(length).to(torch.get_default_dtype()).expand(size, -1) / 10
    return place.masked_fill(new, 0), answer.masked_fill(new, -1), time.clone()
