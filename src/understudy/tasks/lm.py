"""The next token at every place; -1 is hidden (a prompt, padding)."""

from __future__ import annotations

from torch import Tensor

from understudy.parts.divergence import kl, nll
from understudy.parts.lazy import Answer, Lazy
from understudy.tasks.base import Task


class Lm(Task):
    """out [N, L, V] are logits of the next of V tokens, lazy or not (`parts.lazy`), y [N, L] which it is, -1 is hidden.

    An encoder with a decoder answers at the decoder's places, a masked language model at the masked ones.
    """

    name, metric = "lm", "exact"

    def hard(self, out: Tensor | Lazy, y: Tensor) -> Tensor:
        return nll(out, y)

    def soft(self, out: Answer, target: Answer, t: float) -> Tensor:
        """KL at every place, or where a lazy answer was asked for: a teacher's answer is known at prompts too."""
        if isinstance(out, Tensor) and isinstance(target, Tensor):
            out, target = out.flatten(0, -2), target.flatten(0, -2)
        return kl(target, out, t)

    def predict(self, out: Tensor | Lazy) -> Tensor:
        return out.argmax() if isinstance(out, Lazy) else out.argmax(-1)

    def metrics(self, out: Tensor | Lazy, y: Tensor) -> dict[str, float]:
        """exact: rows whose every token is right, given the right ones before it; perplexity of a token; accuracy of a token."""
        known = y >= 0
        rows, right = known.any(-1), (self.predict(out) == y) | ~known
        return {"exact": right[rows].all(-1).double().mean().item(), "perplexity": nll(out, y).exp().item(),
                "accuracy": right[known].double().mean().item()}  # fmt: skip
