"""A model that writes, as a policy: how likely its words were, what they were worth, how far they are from another's.

Rows of a group (several answers to one prompt) lie a whole batch of prompts apart: row g N + i is answer g to prompt i.
"""

from __future__ import annotations

import torch
from torch import Tensor

from understudy.parts.divergence import wide

FAR = 20.0  # nats: e^20 is as good as infinite for a ratio of probabilities, and its square is still a number


def token_logp(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability in nats of every token but the first, given those before it; [N, L, V], [N, L] -> [N, L-1]"""
    return wide(logits)[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)


def group_advantage(reward: Tensor, group: int, eps: float = 1e-6) -> Tensor:
    """(r - mean) / (std + eps) over the answers to each prompt, the unbiased std; 0 where all are worth the same.

    GRPO (Shao et al. 2024, arXiv:2402.03300, sec. 4.1); [group N] -> [group N]
    """
    r = reward.view(group, -1)
    return ((r - r.mean(0)) / (r.std(0, correction=min(1, group - 1)) + eps)).flatten()


def surrogate(logp: Tensor, old: Tensor, advantage: Tensor, clip: float | None = None) -> Tensor:
    """min(r A, clamp(r, 1 - clip, 1 + clip) A) with r = e^(logp - old), to be made larger; old has no gradient.

    PPO (Schulman et al. 2017, arXiv:1707.06347, eq. 7). On the policy's own fresh words r is 1, and the gradient A times that of
    logp; [...], [...], [...] -> [...]
    """
    ratio = (logp - old.detach()).clamp(max=FAR).exp()
    return ratio * advantage if clip is None else torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def reverse_kl(logp: Tensor, guide: Tensor, by: str = "k2") -> Tensor:
    """KL(s || u) at each word that s wrote, from log s = logp and log u = guide (Schulman 2020, "Approximating KL divergence").

    With d = log u - log s: k1 = -d, k2 = d^2 / 2, k3 = e^d - 1 - d. Values: k1 and k3 are the KL on average, k2 nearly.
    Gradients, on words of s: that of k2 is on average the KL's, that of k3 KL(u || s)'s, that of k1 is 0. e^d is cut off at d = 20.
    [...], [...] -> [...]
    """
    d = wide(guide) - wide(logp)
    return {"k1": lambda: -d, "k2": lambda: d.square() / 2, "k3": lambda: d.clamp(max=FAR).exp() - 1 - d}[by]()
