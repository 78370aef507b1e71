"""The documents of a query in order; y [N, K] graded relevance, -1 is hidden."""

from __future__ import annotations

from torch import Tensor

from understudy.parts.divergence import kl, wide
from understudy.parts.ranking import places, ranknet
from understudy.tasks.base import Task


class Rank(Task):
    """Which of K documents answers a query best; a row is a query, out [N, K] are scores, y [N, K] grades from 0, -1 is hidden."""

    name, metric = "rank", "ndcg@10"

    def hard(self, out: Tensor, y: Tensor) -> Tensor:
        return ranknet(out, y)

    def soft(self, out: Tensor, target: Tensor, t: float) -> Tensor:
        """A query's documents as classes: t^2 KL of the softmax over them."""
        return kl(target, out, t)

    def predict(self, out: Tensor) -> Tensor:
        """Document numbers, the best first; [N, K] -> [N, K]"""
        return out.argsort(dim=-1, descending=True, stable=True)

    def metrics(self, out: Tensor, y: Tensor) -> dict[str, float]:
        """ndcg@10 with the grade as gain, mrr of the first document with a grade above 0; means over queries that have one.

        The library takes a score of 0 or less as "not found" in mrr, so that is given places, the highest the best.
        """
        from torchmetrics.functional.retrieval import retrieval_normalized_dcg, retrieval_reciprocal_rank

        rows = [(s[g >= 0], g[g >= 0]) for s, g in zip(wide(out), y, strict=True) if (g > 0).any()]
        n = max(len(rows), 1)
        return {
            "ndcg@10": sum(retrieval_normalized_dcg(s, g, top_k=10).item() for s, g in rows) / n,
            "mrr": sum(retrieval_reciprocal_rank(places(-s[None])[0].to(s), g > 0).item() for s, g in rows) / n,
        }
