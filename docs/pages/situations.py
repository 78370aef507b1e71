"""'What do I have?': which methods fit a situation, by rules over what cards and code say. No method is named here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pages.facts import PEOPLE, Method


@dataclass(frozen=True)
class Situation:
    """title: what one has. rule: how that is told, in words. fits: the same for a machine."""

    key: str
    title: str
    rule: str
    fits: Callable[[Method], bool]


def tagged(*tags: str) -> Callable[[Method], bool]:
    return lambda m: set(tags) <= set(m.card.tags)


def of_people(m: Method) -> bool:
    return not m.card.tasks or bool(PEOPLE & set(m.card.tasks))


SITUATIONS = (
    Situation("labels", "A teacher, and labels for every row", "Tag `teacher`, and the code asks for the task's own loss or for labels.",
              lambda m: "teacher" in m.card.tags and of_people(m) and m.unlabelled != ""),
    Situation("few-labels", "Labels for a few rows only",
              "The terms that come from the teacher (a network, or the student's own average) need no label (no tag `labels`), so a row without one "
              "teaches all the same; or the method's own world hides most labels.",
              lambda m: of_people(m) and (m.few or (bool({"teacher", "average"} & set(m.card.tags)) and "labels" not in m.card.tags))),
    Situation("no-labels", "No labels at all",
              "The code never asks for a label or for the task's own loss, or a setting within its range leaves that out (named behind the method), or what is "
              "learned is written by the teacher. For language models, texts count as their own labels.",
              lambda m: m.unlabelled is not None),
    Situation("no-rows", "No rows", "The code reads no row of the world: what is learned from is made or handed out while learning.", lambda m: not m.rows),
    Situation("several", "Several teachers",
              "Tag `teacher` without `taps`: what only reads answers takes a `teachers.Ensemble` for one teacher (see [teachers](../../guide/teachers.md)). No card "
              "says more than that: methods that weigh teachers against one another aren't told apart.",
              lambda m: "teacher" in m.card.tags and "taps" not in m.card.tags),
    Situation("black-box", "A teacher that only answers: a server, a forest, a file without code",
              "Tag `teacher` without `taps`: nothing inside the teacher is read, its answers (scores, logits, log-probabilities) are enough.",
              lambda m: "teacher" in m.card.tags and "taps" not in m.card.tags),
    Situation("texts", "A teacher that only writes: no score is told", "Tag `rewrites`: the teacher makes rows, and its probabilities aren't read.", tagged("rewrites")),
    Situation("stored", "Only stored answers of the teacher", "Tag `rows`: it asks about rows as they are, so `teachers.Stored` and labelled folders will do. Where "
              "there is `taps` as well, what is inside the teacher must have been stored too.", tagged("teacher", "rows")),
    Situation("vocabulary", "A teacher with another vocabulary or tokenizer", "Tag `vocabularies`.", tagged("vocabularies")),
    Situation("inside", "A teacher whose inside can be read", "Tags `teacher` and `taps`.", tagged("teacher", "taps")),
    Situation("stream", "A stream of rows without labels, on which the student is used", "Tag `stream`.", tagged("stream")),
    Situation("phases", "Tasks that come one after the other", "Tag `phases`.", tagged("phases")),
    Situation("acts", "A student that acts or writes, and can be corrected on that", "Tag `acts`.", tagged("acts")),
    Situation("curriculum", "Tasks to choose the order of", "Tag `curriculum`.", tagged("curriculum")),
    Situation("data", "A large data set that should become a small one", "Tag `data`.", tagged("data")),
    Situation("limit", "A limit of size, and no student yet", "Tag `search`.", tagged("search")),
    Situation("no-teacher", "No teacher", "No tag `teacher`: the student learns from itself (`self`), from its average (`average`), from other students (`game`), or alone.",
              lambda m: "teacher" not in m.card.tags),
)  # fmt: skip
