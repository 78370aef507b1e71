"""Finding documents by their words: token numbers in, 0 fills up."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def counts(tokens: Tensor, words: int) -> Tensor:
    """How often each word stands in a text, 0 for the filler; [N, L] -> [N, words]"""
    found = torch.zeros(len(tokens), words).scatter_add_(1, tokens, torch.ones(tokens.shape))
    return found * (torch.arange(words) > 0)


def idf(found: Tensor) -> Tensor:
    """log(1 + (N - n + 1/2) / (n + 1/2)) for a word in n of N documents; [N, words] -> [words]"""
    n = (found > 0).sum(0)
    return torch.log1p((len(found) - n + 0.5) / (n + 0.5))


def bm25(queries: Tensor, documents: Tensor, words: int, k1: float = 1.2, b: float = 0.75) -> Tensor:
    """sum over words of idf tf (k1 + 1) / (tf + k1 (1 - b + b length / mean length)), Robertson and Zaragoza 2009, eq. 3.15 with
    an idf that is never negative; [Q, L], [D, L'] -> [Q, D]"""
    tf = counts(documents, words)
    length = tf.sum(-1, keepdim=True)
    weights = idf(tf) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / length.mean()))
    return counts(queries, words) @ weights.T


def latent(documents: Tensor, words: int, dim: int) -> Tensor:
    """Words by the documents they stand in: the first `dim` directions of tf-idf, each word's of unit length, which is all that is
    known of words without judgements (Deerwester et al. 1990); [D, L] -> [words, dim]"""
    tf = counts(documents, words)
    weights = F.normalize(tf.log1p() * idf(tf), dim=-1)
    energy, rows = torch.linalg.eigh(weights @ weights.T)
    rows, energy = rows[:, -dim:].flip(-1), energy[-dim:].flip(-1).clamp(min=0)
    rows = rows * rows.gather(0, rows.abs().argmax(0, keepdim=True)).sign()  # a direction has no sign of its own
    found = F.normalize(weights.T @ rows / (energy.sqrt() + 1e-6), dim=-1)
    return F.pad(found, (0, dim - found.shape[-1]))
