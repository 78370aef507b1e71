"""AEM: attention entropy maximisation (Zhang, Sun, Zheng, Yang et al., 2024)."""

from understudy.core.card import Card
from understudy.core.method import Method, at, register, span
from understudy.parts.divergence import entropy


@register
class AEM(Method):
    r"""Attention over the instances of a bag is kept from settling on a few of them: a share of its entropy comes off the loss.

        L = CE(y, s(X)) - weight H(a),   H(a) = -sum_k a_k log a_k,   a = softmax_k w . (tanh(V h_k) * sigmoid(U h_k))

    There is no teacher and no mask.

    Shapes: X [N, M, ...] bags of M instances; h_k [N, D] their features; a [N, M]; s [N, C] logits of the bag; y [N].
    Departures: H is a mean over the bags of a batch, where the paper's batch is one bag. Learning rate and decay are the world's.
    """

    card = Card(
        "AEM: Attention Entropy Maximization for Multiple Instance Learning based Whole Slide Image Classification",
        "arXiv:2406.15303", 2024, slug="aem", world="bags", baseline={"weight": 0.0}, tags={"taps"}, forwards=1,
        tune={"weight": (0.001, 0.01, 0.1, 0.3)}, tasks=("classify",),
    )  # fmt: skip

    weight: float = span(0.1, 0, 1e3)  # lambda, of the entropy; 0 is attention-based multiple instance learning alone
    at: str = at("attention", "student")  # what weighs instances, before the softmax

    def loss(self, run, batch):
        s, a = run.tap("student", self.at, batch.x)
        return {"hard": run.world.hard(s, batch), "entropy": -self.weight * entropy(a, each=False)}
