"""The rules: small, named, each with its reason. They look at a `Situation` and at nothing else, and say what they don't know.

They come from what the methods are made of and from trials on the validation rows of handwritten digits; `benchmarks/advise.py` asks whether
they are worth anything elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from understudy.advice.situation import LADDER, Situation

FEW = 30  # labelled rows a class, below which they are few
LEAST = 4.0  # temperature where labels are few
PASSES = 40  # over the rows, below which a student is still on its way
HEARD = 0.8  # entropy of softened answers, over that of equal shares, at which every class is heard
LEANING = 0.25  # the same, at which the likeliest two or three are
CLOSE = 0.02  # a teacher's lead over chance, in shares, that isn't worth distilling
MEMORY = 0.05  # how much better a teacher may be on rows that it was trained on before its answers there are recollections


@dataclass(frozen=True)
class Proposal:
    """What one rule says: settings by name ('method', or a field of the method), the reason in a sentence, and the methods whose proofs stand
    behind or against it."""

    rule: str
    sets: dict[str, Any]
    reason: str
    methods: tuple[str, ...] = ()


Rule = Callable[[Situation], Proposal | None]


def few(seen: Situation) -> bool:
    """Whether labels say too little for a student to learn from them alone."""
    return seen.labelled / max(seen.classes, 1) < FEW


def softened(seen: Situation, entropy: float) -> float:
    """The lowest temperature of the ladder at which answers have that entropy, 16 where none does."""
    return next((round(t, 1) for t, h in zip(LADDER, seen.entropy, strict=True) if h >= entropy), LADDER[-1])


def basis(seen: Situation) -> Proposal:
    """What to learn by."""
    if seen.task == "regress":
        return Proposal(
            "method",
            {"method": "kd"},
            "For a number there is nothing to soften: the student is drawn to the teacher's number and to the true one.",
            ("kd",),
        )
    if seen.task == "multilabel":
        return Proposal(
            "method",
            {"method": "kd"},
            "Labels that don't exclude one another are softened one by one, which kd does and methods over classes don't.",
            ("kd",),
        )
    rivals = ("kd", "dkd", "dist", "ls-kd", "rkd")
    return Proposal("method", {"method": "kd"}, "Of the methods that read answers it is the one whose gain was reproduced; refinements of it weren't at the scale of the proofs, "
                    "so it is where to start, and --search tries what looks inside beside it.", rivals)  # fmt: skip


def temperature(seen: Situation) -> Proposal | None:
    """How soft the teacher's answers are to be: a heuristic."""
    if seen.task == "regress":
        return None
    each = f"{seen.labelled / max(seen.classes, 1):.0f} labelled rows a class"
    if few(seen) and seen.access != "answers":
        t = max(LEAST, softened(seen, HEARD))
        why = f"with {each}, labels say little, so every class is to be heard: answers have {_share(seen, t)}"
        return Proposal("temperature", {"t": t}, f"Heuristic: {why}.", ("kd", "ssld"))
    if seen.access == "answers" and not few(seen):
        why = (
            "it gives probabilities, not logits; a higher temperature would blow up the logarithms of what is all but impossible"
        )
        return Proposal("temperature", {"t": 1.0}, f"Heuristic: {why}.", ("kd",))
    if seen.optimiser != "sgd" and seen.passes < PASSES:
        why = (
            f"{seen.optimiser} takes steps of one size however large the gradient, so softer answers (whose term is weighed by t squared) only "
            f"turn the student more slowly towards decisions, and {seen.passes:.0f} passes are few"
        )
        return Proposal("temperature", {"t": 1.0}, f"Heuristic: {why}.", ("kd",))
    t = softened(seen, LEANING)
    why = f"with {each} the likely classes are what matters: answers have {_share(seen, t)}"
    return Proposal("temperature", {"t": t}, f"Heuristic: {why}.", ("kd",))


def _share(seen: Situation, t: float) -> str:
    return f"{100 * seen.entropy_at(t):.0f} % of the entropy of equal shares on validation rows"


def weight(seen: Situation) -> Proposal:
    """How much of the loss is the teacher's."""
    if seen.labelled == 0:
        return Proposal("labels", {"a": 1.0}, "No row has a label, so all is the teacher's.")
    if seen.hidden:
        return Proposal(
            "labels",
            {"a": 0.9},
            f"{seen.hidden:,} of {seen.rows:,} rows have no label: the teacher's answers teach on all of them, the labels on the rest.",
            ("kd", "llkd"),
        )
    if few(seen):
        return Proposal("labels", {"a": 0.9}, "Labels are few, and the teacher says more of a row than they do.", ("kd",))
    return Proposal(
        "labels",
        {"a": 0.5},
        "Labels are many and cost nothing, and correct the teacher where it is wrong or only remembers: half and half.",
        ("kd",),
    )


def layers(seen: Situation) -> Proposal | None:
    """Whether to look inside."""
    if seen.access != "inside":
        why = "can't be looked into" if seen.access == "answers" else "is known by its stored answers"
        return Proposal("layers", {}, f"None: this teacher {why}, so methods that read inside (tag `taps`) are out.")
    return Proposal("layers", {}, "None without a search: what reads inside needs a weight that nobody can guess, and beside alone its gain was reproduced for few; --search weighs such "
                    "terms by their gradients.", ("rkd", "sp", "pkt", "fitnet", "at"))  # fmt: skip


def text_pipeline(seen: Situation) -> Proposal | None:
    """What is known of pipelines for texts."""
    if seen.kind != "text" or seen.task != "classify" or seen.access != "inside":
        return None
    return Proposal("texts", {}, "If inner states are to be used, distiller's choices (mutual information of states, last layers) are the ones that were searched for texts; see the study "
                    "distiller-nlp.", ("distiller",))  # fmt: skip


RULES: tuple[Rule, ...] = (basis, temperature, weight, layers, text_pipeline)


def method(proposals: Sequence[Proposal]) -> dict[str, Any]:
    """All that the rules set, as a method's configuration."""
    sets = {k: v for p in proposals for k, v in p.sets.items()}
    return {"name": sets.pop("method")} | sets


def doubts(seen: Situation, students: Sequence[Any]) -> tuple[str, ...]:
    """What nobody knows here, in sentences."""
    said = [
        "What the student would be on labels alone: `understudy distill` trains that too, and tells what the teacher was worth."
    ]
    if seen.taught is not None and seen.score < seen.taught - MEMORY:
        said.append(
            "The teacher is clearly better on training rows than on validation rows: if it was trained on them, its answers there are recollections, and less can be learned from them."
        )
    if seen.luck is not None and seen.score < seen.luck + CLOSE:
        said.append("Whether there is anything to learn: the teacher hardly beats naming the commonest class.")
    if seen.valid < 200:
        said.append(f"Much, with {seen.valid} validation rows: scores and calibration on them are rough.")
    if seen.gap is not None and seen.gap > 100:
        said.append(
            f"Whether a student of 1/{seen.gap:.0f} of the teacher's parameters can follow it; a teacher in between, or a larger budget, may be worth more than any setting."
        )
    if any(getattr(c, "similarity", None) is not None for c in students):
        said.append(
            "Which student is best: the order comes from untrained networks; how often that foretells the outcome, benchmarks/diswot.py says of one problem."
        )
    said.append("The best learning rate and number of epochs: the rules leave them as they are; --search tries rates.")
    return tuple(said)
