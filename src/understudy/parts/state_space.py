"""Knowledge as a hidden state that drifts between answers and is corrected by each of them."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from understudy.parts.divergence import wide

TRAITS = ("forgetting", "level", "volatility", "transfer")


def ou(z: Tensor, level: Tensor, rate: Tensor, volatility: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of an Ornstein-Uhlenbeck process that was at z a time `gap` ago: z w + level (1 - w) and
    volatility^2 (1 - w^2) / (2 rate) with w = e^(-rate gap); rate in 1 / the unit of gap, above 0; all broadcast.
    Uhlenbeck and Ornstein (1930)."""
    w = (-rate * gap).exp()
    return w * z + (1 - w) * level, volatility.square() * -torch.expm1(-2 * rate * gap) / (2 * rate)


def shifted(mu: Tensor, gamma: Tensor, z: Tensor, a: Tensor) -> Tensor:
    """Where knowledge tends to: mu^k + gamma / K sum_i a_ik z^i, of prerequisites i; [N, K], [N, 1], [N, K], [K, K] -> [N, K].
    Zhou et al. (2024), eq. 5"""
    return mu + gamma / a.shape[0] * (z @ a).to(mu)


def normal_kl(m: Tensor, v: Tensor, m0: Tensor, v0: Tensor) -> Tensor:
    """KL(N(m, v) || N(m0, v0)), v and v0 variances, element by element, in nats"""
    return ((v + (m - m0).square()) / v0 - 1 + v0.log() - v.log()) / 2


def correct(m: Tensor, v: Tensor, y: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """N(m, v) after an answer y in {0, 1} of probability sigmoid(z): Laplace's approximation in one Newton step from m, which is
    `gain` times as long; any shape. Variance: 1 / v' = 1 / v + p (1 - p), p = sigmoid(m)."""
    p = m.sigmoid()
    after = v / (1 + v * p * (1 - p))
    return m + gain * after * (y - p), after


@functools.cache
def _hermite(points: int) -> tuple[Tensor, Tensor]:
    """Places and weights of Gauss and Hermite's rule for a standard normal, by Golub and Welsch (1969); -> [points] each"""
    off = torch.arange(1, points, dtype=torch.double).sqrt()
    places, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return places, vectors[0].square()


def expected_log_bernoulli(m: Tensor, v: Tensor, y: Tensor, points: int = 12) -> Tensor:
    """E log Bernoulli(y; sigmoid(z)) for z ~ N(m, v) by Gauss and Hermite's rule; [...], y in {0, 1} -> [...]"""
    places, weights = (t.to(m) for t in _hermite(points))
    z = m[..., None] + v.sqrt()[..., None] * places
    return (F.logsigmoid((2 * y - 1)[..., None] * z) * weights).sum(-1)


class Learners(nn.Module):
    """Learners by traits s, knowledge z of every skill and a graph of prerequisites a (Zhou et al., 2024).

        s_n ~ N(s_0 + h (s_(n-1) - s_0), r),  (alpha, mu, sigma, gamma) = s, made positive but for mu
        z_n^k ~ OU(z_(n-1)^k, mu_n + b_k + gamma_n / K sum_i a_ik z_(n-1)^i; alpha_n, sigma_n),  P(y_n = 1) = sigmoid(z_n^(k_n))
        a_ik = sigmoid(u_i' M u_k), a_kk = 0

    q(s_n): a GRU over the answers before n; q(z_n): the forecast from q(z_(n-1)), corrected by the answer. x: skill [N, L] whole
    numbers, answer [N, L] in {0, 1} or -1 where it isn't known, time [N, L] in the unit of 1 / alpha. Called, it gives log-odds
    of the answers [N, L], each from the answers known before it: where those end, knowledge is simulated on.
    """

    def __init__(self, skills: int, width: int) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.randn(skills, width) / width**0.5)
        self.m = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.base = nn.Parameter(torch.zeros(skills))  # b_k
        self.s0 = nn.Parameter(torch.tensor([-1.0, 0.0, 0.0, 1.0]))
        self.log_v0, self.log_r = nn.Parameter(torch.full((4,), -1.0)), nn.Parameter(torch.full((4,), -5.0))
        self.h = nn.Parameter(torch.full((4,), 3.0))
        self.log_start, self.log_gain = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.reader, self.head = nn.GRU(width + 2, width, batch_first=True), nn.Linear(width, 8)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def graph(self) -> Tensor:
        """Probability that i is a prerequisite of k; -> [K, K]"""
        return (self.u @ self.m @ self.u.T).sigmoid() * (1 - torch.eye(len(self.u)).to(self.u))

    def traits(self, x: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and variance of q(s_n), from the answers before n; -> [N, L, 4] twice"""
        known = x["answer"] >= 0
        sign = (2 * x["answer"] - 1) * known
        seen = torch.cat([self.u[x["skill"]], sign[..., None].to(self.u), self.gaps(x)[..., None].log1p()], -1)
        told = wide(self.head(self.reader(seen)[0]))
        place = torch.arange(known.shape[1]).to(known.device)
        last = F.pad((known * (place + 1)).cummax(1).values, (1, 0))[:, :-1]  # answers up to the last known one before n
        told = F.pad(told, (0, 0, 1, 0)).gather(1, last[..., None].expand(-1, -1, 8))  # nothing was told before the first
        return self.s0 + told[..., :4], (self.log_v0 + told[..., 4:]).clamp(-12, 4).exp()

    def drift(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of p(s_n) as q(s_(n-1)) = N(s, v) is pushed on, first that of all learners; [N, L, 4] -> twice"""
        h = wide(self.h).sigmoid()
        m0, v0 = self.s0.expand_as(s[:, :1]), self.log_v0.exp().expand_as(s[:, :1])
        return torch.cat([m0, m0 + h * (s[:, :-1] - m0)], 1), torch.cat([v0, h * h * v[:, :-1] + self.log_r.exp()], 1)

    def gaps(self, x: dict[str, Tensor]) -> Tensor:
        """Time since the answer before, 0 for the first; -> [N, L]"""
        return F.pad(x["time"].diff(dim=1).clamp_min(0), (1, 0)).to(self.u)

    def trace(self, x: dict[str, Tensor], s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of learners with traits s [N, L, 4]: mean and variance of every skill's knowledge before each answer and after it;
        -> [N, L, K] four times"""
        alpha, mu, sigma, gamma = acting(wide(s))[..., None].unbind(-2)
        gap, known, skills = self.gaps(x)[..., None], x["answer"] >= 0, len(self.u)
        y, asked = x["answer"].to(mu), F.one_hot(x["skill"], skills).to(mu) * known[..., None]
        a, gain, seen = wide(self.graph()).to(mu), self.log_gain.exp(), []
        keep, noise = ou(torch.ones_like(gap), torch.zeros_like(gap), alpha, sigma, gap)
        m, v = mu[:, 0] + self.base, self.log_start.exp().expand(len(mu), skills)
        for n in range(mu.shape[1]):
            if n:
                w, level = keep[:, n], shifted(mu[:, n] + self.base, gamma[:, n], m, a)
                m, v = w * m + (1 - w) * level, w * w * v + noise[:, n]
            after, tighter = correct(m, v, y[:, n, None], gain)
            told = asked[:, n]
            seen.append((m, v, m + told * (after - m), v + told * (tighter - v)))
            m, v = seen[-1][2:]
        before, spread, after, tighter = (torch.stack(t, 1) for t in zip(*seen, strict=True))
        return before, spread, after, tighter

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        before, spread, _, _ = self.trace(x, self.traits(x)[0])
        z, v = (t.gather(2, x["skill"][..., None])[..., 0] for t in (before, spread))
        return z / (1 + torch.pi * v / 8).sqrt()  # the log-odds of E sigmoid(z), nearly (MacKay, 1992)

    @torch.no_grad()
    def explain(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """traits [N, L, 4] as they act (see TRAITS), knowledge [N, L, K] in log-odds after each answer, its standard deviation,
        and graph [K, K], the probability that i comes before k"""
        s = self.traits(x)[0]
        _, _, z, v = self.trace(x, s)
        return {"traits": acting(s), "knowledge": z, "deviation": v.sqrt(), "graph": self.graph()}


def acting(s: Tensor) -> Tensor:
    """Traits as they act: softplus + 0.001 of all but the level, which may have any sign; [..., 4] -> [..., 4]"""
    return torch.where(torch.arange(4).to(s.device) == 1, s, F.softplus(s) + 1e-3)
