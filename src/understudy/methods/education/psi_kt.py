"""PSI-KT: predictive, scalable and interpretable knowledge tracing (Zhou, Bamler, Wu and Tejero-Cantero, ICLR 2024)."""

from understudy.core.card import Card
from understudy.core.method import Method, register, span
from understudy.parts.state_space import Learners, expected_log_bernoulli, normal_kl


@register
class PSIKT(Method):
    r"""A tutor infers each learner's traits and knowledge, and which skills rest on which, from right and wrong answers.

    Traits s_n = (forgetting alpha, level mu, volatility sigma, transfer gamma) change slowly; knowledge z_n^k of skill k goes
    towards a level that its prerequisites shift; together they explain the answers, and the bound on their probability goes up:

        s_n ~ N(H s_{n-1}, R),  y_n ~ Bernoulli(sigmoid(z_n^{k_n})),  a_ik = sigmoid(u_i' M u_k),  w = e^{-alpha_n gap_n}
        z_n^k ~ N(w z_{n-1}^k + (1 - w)(mu_n + gamma_n / K sum_i a_ik z_{n-1}^i), sigma_n^2 (1 - w^2) / (2 alpha_n))
        L = sum_n -E_q log p(y_n | z_n) + beta [KL(q(z_n) || p(z_n | z_{n-1}, s_n)) + KL(q(s_n) || p(s_n | s_{n-1}))] + c mean a

    Further answers are foretold by simulating on from the last. `explain(x)` of the result says traits, knowledge and graph.

    Shapes: x: skill, answer, time [N, L]; y [N, L]; s [N, L, 4]; z [N, L, K]; a [K, K].
    Departures: q(z_n) is the forecast from q(z_(n-1)) corrected by the answer, with one learnt gain, where the paper has an LSTM
    say all means and variances; so a skill gets a level b_k of its own. Both divergences are from the forecast that carries the
    variance of q at n - 1 along; the authors' code has that for s alone, and hands variances to its Gaussians as if they were
    deviations. q(s_n) is a GRU over the answers before n; one Gaussian is the prior of all learners, not a mixture; H is
    diagonal and towards their mean. gamma is positive, in the code within (0, 1); edges enter by their probability, there by
    samples. The code weighs every term by itself and the first answer by 1e-4: here all sums are over answers, and one beta
    weighs the divergences.
    """

    card = Card(
        "Predictive, scalable and interpretable knowledge tracing on structured domains", "arXiv:2403.13179", 2024, slug="psi-kt",
        world="learners", baseline="alone", tags={"labels"}, tasks=("trace",), forwards=1, tune={"beta": (0.5, 1.0, 2.0, 4.0)},
    )  # fmt: skip

    beta: float = span(1.0, 0, 1e3)  # weight of both divergences
    sparse: float = span(0.01, 0, 1e3)  # weight c of the edges
    width: int = span(16, 1, 4096)  # of a skill's embedding u and of the GRU

    def setup(self, world):
        skills = 1 + max(int(b.x["skill"].max()) for b in world.sweep())
        return {"student": Learners(skills, self.width)}

    def loss(self, run, batch):
        net, x, y = run["student"], batch.x, batch.y
        s, v_s = net.traits(x)
        before, spread, after, tighter = net.trace(x, s + v_s.sqrt() * s.new_empty(s.shape).normal_())
        m0, v0, m, v = (z.gather(2, x["skill"][..., None])[..., 0] for z in (before, spread, after, tighter))
        asked, answered = (x["answer"] >= 0).to(s), y.isfinite()
        mean = lambda each, which: (each * which).sum() / max(asked.sum(), 1)
        return {
            "answers": -mean(expected_log_bernoulli(m, v, y.nan_to_num().to(m)), answered),
            "knowledge": self.beta * mean(normal_kl(m, v, m0, v0), asked),
            "traits": self.beta * mean(normal_kl(s, v_s, *net.drift(s, v_s)).sum(-1), asked),
            "graph": self.sparse * net.graph().mean(),
        }
