"""ERNIE-Tiny: teacher, data and loss go from general to the task, one at a time (Su et al., 2021)."""

from understudy.core.card import Card
from understudy.core.errors import TapError, refuse
from understudy.core.method import Method, at, register, span
from understudy.core.taps import module_at, probe
from understudy.parts.blocks import attention_mse, states_mse, thirds
from understudy.parts.divergence import kl
from understudy.parts.project import projector
from understudy.parts.schedule import within
from understudy.parts.selfattention import real


@register
class ERNIETiny(Method):
    r"""In four stages the student passes from general knowledge to a task, and every stage changes one thing only.

        general              pretrained teacher  general text     L = L_latent
        general, enhanced    tuned teacher       general text     L = L_latent
        task, adaptive       tuned teacher       the task's rows  L = L_latent
        task, specific       tuned teacher       the task's rows  L = L_latent + soft t^2 KL(u/t || s/t) + hard CE(y, s)

    L_latent = hidden sum_m |H_s[m] W - H_u[g(m)]|^2 + attention sum_m |A_s[m] - A_u[g(m)]|^2 with a learnt W, attention A before
    its softmax, and g(m) = m N / M. The last phase of the world is the task, what comes before is general.

    Shapes: H [N, L, D] of each network's width; A [N, heads, L, L]; s, u [N, L, C]; y [N, L], -1 where nothing is asked.
    Departures: how long the stages are is ours. So is the exact latent loss: the abstract says attention and hidden states, and
    TinyBERT's form of that is taken (squares, the uniform map). W is the identity where the widths agree. The task here is one
    label a token, in the paper mostly one a sentence.
    """

    card = Card(
        "ERNIE-Tiny: A Progressive Distillation Framework for Pretrained Transformer Compression", "arXiv:2106.02241", 2021,
        slug="ernie-tiny", world="taggers", baseline={"enhanced": 0.0, "adaptive": 0.0}, tags={"teacher", "taps"}, tasks=("tag",),
        tune={"hidden": (0.1, 0.3, 1.0, 3.0)},
    )  # fmt: skip

    enhanced: float = span(0.5, 0, 1)  # share of the general phase with the tuned teacher
    adaptive: float = span(0.5, 0, 1)  # share of the task's phase before labels
    hidden: float = span(1.0, 0, 1e3)  # weight of hidden states
    attention: float = span(1.0, 0, 1e3)  # weight of attention
    soft: float = span(1.0, 0, 1e3)  # weight of the teacher's labels
    hard: float = span(1.0, 0, 1e3)  # weight of the true ones
    t: float = span(1.0, 1e-2, 100)  # temperature
    heads: int = span(4, 1, 64)  # of both networks
    student_at: tuple[str, ...] = at(("stages", "stage:*.attention.self.query", "stage:*.attention.self.key"), "student")
    teacher_at: tuple[str, ...] = at(("stages", "stage:*.attention.self.query", "stage:*.attention.self.key"), "teacher")

    def setup(self, world):
        nets, x = super().setup(world), world.rows(0).x
        if world.phase(0) < world.phase(world.steps - 1) and self.enhanced < 1:
            try:
                module_at(nets["teacher"], "before")
            except TapError:
                raise refuse("teacher", type(nets["teacher"]).__name__, "one that remembers what it was before it was tuned",
                             "teachers.Tuned(tuned, pretrained), or enhanced=1") from None  # fmt: skip
        s, u = probe(nets["student"], self.student_at, x), probe(nets["teacher"], self.teacher_at, x)
        return nets | {"project": projector(s[0], u[0], bias=False)}

    def loss(self, run, batch):
        phase, done = run.world.phase, within(run.world.phase, run.step, run.world.steps)
        task = phase(run.step) >= phase(run.world.steps - 1)
        before = () if task or done >= 1 - self.enhanced else (True,)  # the teacher as it was before it was tuned
        s, inside_s = run.tap("student", self.student_at, batch.x)
        u, inside_u = run.tap("teacher", self.teacher_at, batch.x, *before)
        (h_s, *a_s), (h_u, *a_u) = thirds(inside_s), thirds(inside_u)
        mask = real(batch.x, h_s[0])
        terms = {
            "hidden": self.hidden * states_mse(h_s, h_u, mask, run["project"]),
            "attention": self.attention * attention_mse(a_s, a_u, mask, self.heads),
        }
        if task and done >= self.adaptive:
            terms |= {"soft": self.soft * kl(u[mask], s[mask], self.t), "hard": self.hard * run.world.hard(s, batch)}
        return terms
