"""What is published about a method, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TAGS = {
    "teacher": "asks run['teacher']",
    "matching": "a copy of the teacher is a minimum of the terms other than 'hard'",
    "rows": "asks the teacher about the rows as they are, so stored answers do",
    "classes": "reads logits over classes: single-label classification only",
    "labels": "its teacher terms need the label of a row; hidden labels leave the row out of them",
    "taps": "reads inside the networks",
    "batch": "compares the rows of a batch with one another, so the size of a process's batch matters",
    "game": "has several players",
    "self": "its teacher is made of the student itself",
    "average": "its teacher is a moving average of the student: no gradient enters it, and it moves after a step",
    "stream": "learns on rows that arrive without labels, and is scored on them as they arrive",
    "phases": "learns a sequence of tasks, and of the world's rows sees the present task's only",
    "acts": "learns from what the student did or wrote",
    "curriculum": "hands out the tasks that the student learns on",
    "rewrites": "its teacher writes new rows",
    "data": "what it makes is a data set",
    "vocabularies": "its teacher may have other words than the student",
    "search": "trains many networks in one, and hands over one within its size limit",
}


@dataclass(frozen=True)
class Card:
    """Title, paper ('arXiv:...' or 'doi:...'), year; the world and baseline of its proof; tags (see TAGS) choose the contract checks.

    tasks: those it is for, where it isn't for any (see `understudy.tasks`); others are refused before anything is built.
    baseline: another method's name, or values of this one's fields that switch its idea off. tune: up to four settings of one
    field that a proof may choose from on the validation split. forwards: network calls a step at most. slug: the seed row.
    """

    title: str
    paper: str
    year: int
    slug: str = ""
    world: str = "digits"
    baseline: str | Mapping[str, Any] | None = None
    tags: Iterable[str] = ()
    tasks: Iterable[str] = ()
    forwards: int = 2
    tune: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", frozenset(self.tags))
        object.__setattr__(self, "tasks", tuple(self.tasks))
        unknown = frozenset(self.tags) - TAGS.keys()
        if unknown:
            raise ValueError(f"card of '{self.title}': unknown tags {sorted(unknown)}; known: {sorted(TAGS)}")
