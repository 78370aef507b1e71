"""One planted fault for each check: a check that lets its fault through is no check."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from contract import test_contract as contract
from understudy.core import registry, seal
from understudy.core.batch import Batch
from understudy.core.method import Method
from understudy.core.run import Run, artefact
from understudy.core.seeds import stream
from understudy.parts.divergence import kl
from understudy.worlds.rows import Rows
from understudy.worlds.stream import Stream

COUNT, MEMORY = itertools.count(1), []


@pytest.fixture(autouse=True)
def _double(double: None) -> None: ...


class Plant:
    """Breaks a method, its card or its file until the test is over."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str, folder: Path) -> None:
        self.patch, self.name, self.folder, self.cls = patch, name, folder, registry.get(name)

    def verbs(self, **verbs: Any) -> None:
        for verb, fault in verbs.items():
            self.patch.setattr(self.cls, verb, fault)

    def card(self, **values: Any) -> None:
        new = dataclasses.replace(self.cls.card, **values)
        self.patch.setattr(self.cls, "card", new)
        self.patch.setitem(contract.CARDS, self.name, new)

    def text(self, old: str, new: str) -> None:
        """The method's file with something replaced; the class in memory stays as it is."""
        text = registry.files()[self.name].read_text()
        assert old in text
        path = self.folder / registry.files()[self.name].parent.name / registry.files()[self.name].name
        path.parent.mkdir()
        path.write_text(text.replace(old, new, 1))
        files = registry.files() | {self.name: path}
        self.patch.setattr(registry, "files", lambda: files)


def soft(factor: Callable[..., Any]) -> Callable[..., Any]:
    """kd's loss whose term 'soft' is factor(run, batch, s, u)."""

    def loss(self: Any, run: Any, batch: Any) -> Any:
        s, u = run["student"](batch.x), run["teacher"](batch.x)
        return {"hard": 0.1 * run.world.hard(s, batch), "soft": factor(run, batch, s, u)}

    return loss


def before(verb: str, act: Callable[..., Any], cls: str = "kd") -> dict[str, Any]:
    """The verb as it is, after something that it shouldn't do."""
    old = getattr(registry.get(cls), verb)
    return {verb: lambda self, run, *rest: (act(run, *rest), old(self, run, *rest))[1]}


def game(loss: Any, after: Any = None) -> dict[str, Any]:
    """kd with a second player."""
    return {
        "setup": lambda self, world: Method.setup(self, world) | {"critic": nn.Linear(10, 1)}, "loss": loss,
        "players": lambda self, world: {"student": world.player, "critic": world.player}, "after_step": after or Method.after_step,
    }  # fmt: skip


def in_turn(self: Any, run: Any, batch: Any) -> Any:
    s = run["student"](batch.x)
    return (
        {"student": {"hard": run.world.hard(s, batch)}}
        if run.step % 2
        else {"critic": {"value": run["critic"](s).square().mean()}}
    )


def visible(index: Callable[..., Any]) -> Callable[..., Any]:
    """A term over labelled rows only, through whatever `index` makes of y."""

    def term(run: Any, batch: Any, s: Any, u: Any) -> Any:
        keep, y = index(batch.y)
        return (u - s).gather(1, y[:, None]).square()[:, 0][keep].sum() / max(int(keep.sum()), 1)

    return term


def move(net: str) -> Callable[..., Any]:
    return lambda self, run, batch: [p.mul_(0.9) for p in run[net].parameters()] and None


def never_hears(run: Any, batch: Any, s: Any, u: Any) -> Any:
    return kl(u.mean(0, keepdim=True).expand_as(s), s.mean(0, keepdim=True).expand_as(s))


# what is planted: (check, method, further arguments of the check, the fault, what makes the sound case)
FAULTS: dict[str, tuple[Any, str, tuple[Any, ...], Callable[[Plant], None], Callable[[Plant], None]]] = {}


def fault(check: Any, name: str = "kd", *args: Any, sound: Callable[[Plant], None] = lambda p: None) -> Callable[..., Any]:
    def add(plant: Callable[[Plant], None], label: str = "") -> None:
        FAULTS[f"{check.__name__.removeprefix('test_')}: {label}"] = check, name, args, plant, sound

    return add


def faults(
    check: Any, *args: Any, name: str = "kd", sound: Callable[[Plant], None] = lambda p: None, **plants: Callable[[Plant], None]
) -> None:
    for label, plant in plants.items():
        fault(check, name, *args, sound=sound)(plant, label)


C = contract
faults(
    C.test_card_is_complete,
    no_paper=lambda p: p.card(paper="a paper"), no_title=lambda p: p.card(title=" "), no_world=lambda p: p.card(world="nowhere"),
    wrong_slug=lambda p: p.card(slug="kdd"), no_baseline=lambda p: p.card(baseline=None), baseline_unknown=lambda p: p.card(baseline="alon"),
    baseline_changes_nothing=lambda p: p.card(baseline={"t": 4.0}), two_fields_tuned=lambda p: p.card(tune={"t": (1.0, 4.0), "a": (0.5, 0.9)}),
    five_values_tuned=lambda p: p.card(tune={"t": (1.0, 2.0, 3.0, 4.0, 5.0)}),
)  # fmt: skip
fault(C.test_baseline_values_change_what_is_learned, sound=lambda p: p.card(baseline={"t": 8.0}))(
    lambda p: p.verbs(loss=soft(lambda run, b, s, u: kl(u, s, 4.0))), "a field that nothing reads"
)
faults(C.test_card_reads_the_same_without_importing, another_year=lambda p: p.text("2015, baseline", "2016, baseline"),
       no_idea=lambda p: p.text("The student matches the teacher's softened answers, and the labels a little.", "Knowledge distillation"))  # fmt: skip
faults(
    C.test_file_is_small_and_leans_only_on_the_core,
    long=lambda p: p.text("@register", "x = 1\n" * 120 + "@register"), wide=lambda p: p.text("@register", "#" + " " * 130 + "\n@register"),
    imports_a_world=lambda p: p.text("@register", "from understudy.worlds import WORLDS\n@register"),
    imports_a_method=lambda p: p.text("@register", "import understudy.methods.plain.alone\n@register"),
    imports_numpy=lambda p: p.text("@register", "import numpy\n@register"), relative=lambda p: p.text("@register", "from . import at\n@register"),
    backward=lambda p: p.text("        return", "        s.sum().backward()\n        return"),
    steps=lambda p: p.text("        return", "        self.adam.step()\n        return"),
    kwargs=lambda p: p.text("def loss(self, run, batch)", "def loss(self, run, batch, **kwargs)"),
    prints=lambda p: p.text("        return", "        print(s)\n        return"),
)  # fmt: skip
faults(C.test_docstring_says_idea_equation_and_shapes, no_year=lambda p: p.text(", 2015)", ")"))
fault(C.test_docstring_says_idea_equation_and_shapes)(
    lambda p: p.patch.setattr(p.cls, "__doc__", p.cls.__doc__.replace("L = ", "L ")), "no equation"
)
fault(C.test_docstring_says_idea_equation_and_shapes)(
    lambda p: p.patch.setattr(p.cls, "__doc__", p.cls.__doc__.replace("Shapes:", "")), "no shapes"
)
faults(
    C.test_configuration_survives_json_and_refuses_by_name,
    checks_nothing=lambda p: p.verbs(__post_init__=lambda self: None),
    forgets_a_field=lambda p: p.verbs(config=lambda self: {"name": "kd", "a": 0.5}),
    takes_anything=lambda p: p.patch.setattr("understudy.core.method.unknown_fields", lambda cls, given: [given.pop(k) for k in list(given) if k not in "at"]),
)  # fmt: skip

terms = lambda f: lambda p: p.verbs(loss=soft(f))
faults(
    C.test_terms_are_finite,
    "logits of 1e4",
    naive_logarithm=terms(lambda r, b, s, u: -(u.softmax(-1) * s.softmax(-1).log()).sum(-1).mean()),
)
faults(C.test_terms_are_finite, "one row", spread_of_one=terms(lambda r, b, s, u: (u.std(0) - s.std(0)).square().mean()))
faults(C.test_terms_are_finite, "rows of one class", mean_of_nobody=terms(lambda r, b, s, u: kl(u, s) + s[b.y != b.y[0]].mean()))
faults(
    C.test_terms_are_finite, "half the labels hidden", index_of_hidden=terms(lambda r, b, s, u: F.one_hot(b.y, 10).mul(s).mean())
)
faults(C.test_terms_are_finite, "all labels hidden", mean_of_nothing=terms(lambda r, b, s, u: s[b.y >= 0].mean()))
faults(C.test_terms_are_finite, "as they are", reads_the_test_split=lambda p: p.verbs(**before("loss", lambda run, b: run.world.data.test)),
       a_row_of_terms=terms(lambda r, b, s, u: kl(u, s, each=True)))  # fmt: skip
faults(C.test_terms_are_finite_in_bf16, "as they are",
       one_dtype_only=terms(lambda r, b, s, u: torch.zeros(s.shape).scatter(1, b.y[:, None], s).mean()))  # fmt: skip
faults(C.test_terms_are_finite_for_two_classes, spread_of_the_rest=terms(lambda r, b, s, u: s[:, 1:].std(-1).mean()))
faults(C.test_terms_are_finite_at_the_ends_of_every_span, coldest=terms(lambda r, b, s, u: kl(u, s) / (r.method.t - 0.01)))
faults(C.test_other_tasks_than_classes, "regress", cross_entropy=terms(lambda r, b, s, u: F.cross_entropy(s, b.y)))
faults(C.test_hidden_labels_change_only_the_hard_term, weighs_by_label=terms(lambda r, b, s, u: kl(u, s) * b.y.double().mean()))
faults(C.test_hidden_labels_leave_their_rows_out, sound=terms(visible(lambda y: (y >= 0, y.clamp(min=0)))),
       last_class_for_hidden=terms(visible(lambda y: (y >= -1, y % 10))))  # fmt: skip

faults(
    C.test_every_player_gets_its_turn_and_every_parameter_a_gradient, sound=lambda p: p.verbs(**game(in_turn)),
    never_called=lambda p: p.verbs(loss=lambda self, run, b: {"student": {"hard": run.world.hard(run["student"](b.x), b)}}),
    idle_weight=lambda p: p.verbs(setup=lambda self, world: Method.setup(self, world) | {"critic": nn.Linear(10, 1), "idle": nn.Linear(1, 1)}),
)  # fmt: skip
faults(C.test_who_rests_stays_as_it_is_and_who_acts_moves, sound=lambda p: p.verbs(**game(in_turn)),
       moves_who_rests=lambda p: p.verbs(after_step=move("critic")),
       never_moves=lambda p: p.verbs(players=lambda self, world: {"student": world.player, "critic": dataclasses.replace(world.player, schedule=lambda s: 0.0)}))  # fmt: skip
faults(
    C.test_frozen_teacher_is_never_touched, learns=lambda p: p.verbs(after_step=move("teacher")),
    in_training_mode=lambda p: p.verbs(**before("loss", lambda run, b: run["teacher"].train())),
    the_users_own=lambda p: p.verbs(setup=lambda self, world: {"student": world.student(), "teacher": world.teacher().requires_grad_(False)}),
)  # fmt: skip
faults(C.test_student_stays_in_training_mode, left_in_eval=lambda p: p.verbs(**before("result", lambda run: run.nets["student"].eval())),
       leaves_a_hook=lambda p: p.verbs(**before("loss", lambda run, b: run["student"].register_forward_hook(lambda *_: None))))  # fmt: skip

faults(
    C.test_source_leaves_no_trace_and_repeats_itself, counts_for_itself=lambda p: p.verbs(source=lambda self, run: run.rows(step=next(COUNT))),
    asks_in_training_mode=lambda p: p.verbs(**before("source", lambda run: run["student"](run.rows().x))),
    empty=lambda p: p.verbs(source=lambda self, run: type(run.rows())()),
)  # fmt: skip


def same_start(self: Any, world: Any) -> Any:
    with stream("always"):
        return Method.setup(self, world)


faults(C.test_same_seed_same_bits, reseeded=lambda p: p.verbs(**before("loss", lambda run, b: torch.nn.init.normal_(run["student"].head.bias, next(COUNT)))),
       remembers=lambda p: p.verbs(loss=soft(lambda r, b, s, u: next(COUNT) * kl(u, s))), deaf_to_the_seed=lambda p: p.verbs(setup=same_start))  # fmt: skip


def on_the_run(run: Any, batch: Any, s: Any, u: Any) -> Any:
    run.memory = getattr(run, "memory", 0) + 1
    return run.memory * kl(u, s)


def on_the_class(run: Any, batch: Any, s: Any, u: Any) -> Any:
    MEMORY[:] = [*MEMORY, run.seed][-2:]
    return len(set(MEMORY)) * kl(u, s)


faults(C.test_resume_is_exact, remembers_on_the_run=terms(on_the_run))
faults(C.test_runs_leave_each_other_and_the_world_alone, remembers_on_the_class=terms(on_the_class),
       python_chance=terms(lambda r, b, s, u: kl(u, s) * (1 + 0 * random.random())))  # fmt: skip
faults(
    C.test_watching_changes_nothing_and_the_result_stands_alone,
    result_that_moves=lambda p: p.verbs(**before("result", lambda run: run.nets["student"].head.bias.add_(1))),
    result_that_breaks=lambda p: p.verbs(result=lambda self, run: nn.Linear(3, 3)),
)  # fmt: skip
faults(C.test_test_split_is_sealed_in_fit, no_seal=lambda p: p.patch.setattr(seal, "check", lambda what: None))
faults(C.test_a_copy_of_the_teacher_is_a_minimum, aims_past_it=terms(lambda r, b, s, u: (s - 1.1 * u).square().mean()))
faults(
    C.test_the_teacher_matters,
    asked_and_not_heard=terms(lambda r, b, s, u: 0 * u.sum() + s.square().mean()),
    heard_on_average=terms(never_hears),
)
faults(C.test_a_stored_teacher_gives_the_same_bits, asks_for_other_rows=terms(lambda r, b, s, u: kl(r["teacher"](b.x.flip(-1)), s)),
       looks_inside_unannounced=terms(lambda r, b, s, u: kl(u, s) + r.tap("teacher", "penultimate", b.x)[1].mean()))  # fmt: skip
faults(C.test_forwards_per_step_are_bounded, once_too_often=lambda p: p.verbs(**before("source", lambda run: run["student"](run.rows().x))),
       a_copy_too_many=lambda p: p.verbs(setup=lambda self, world: Method.setup(self, world) | {"ema": world.student().requires_grad_(False)},
                                         **before("loss", lambda run, b: run["ema"](b.x))))  # fmt: skip
faults(C.test_works_beside_another_method, name="fitnet", goes_round_the_scope=lambda p: p.verbs(
    loss=lambda self, run, b: {"hint": run.nets["projector"](run.tap("student", "stage:-1", b.x)[1]).mean()}))  # fmt: skip
faults(
    C.test_works_beside_another_method,
    hears_who_runs_it=terms(lambda r, b, s, u: kl(u, s) * (1 + len(r.nets) + hasattr(r, "label"))),
)


# what only some kinds must keep


def taught_by_another(self: Any, run: Any) -> Any:
    """Episodes of somebody who isn't the student."""
    with stream("somebody"):
        actor = run.world.student()
    return run.world.play(actor, run.rows().x)


faults(
    C.test_other_tasks_are_refused_by_who_is_for_some, name="ftd",
    for_any=lambda p: p.card(tasks=()), for_unknown_ones=lambda p: p.card(tasks=("classify", "juggle")),
    for_others_than_its_worlds=lambda p: p.card(tasks=("regress",)),
)  # fmt: skip
faults(
    C.test_the_average_follows_and_is_never_learned, name="soft-teacher",
    never_follows=lambda p: p.verbs(after_step=lambda self, run, b: None), walks_off=lambda p: p.verbs(after_step=move("teacher")),
    is_the_student=lambda p: p.verbs(after_step=lambda self, run, b: run["teacher"].load_state_dict(run["student"].state_dict()) and None),
    learns=lambda p: p.verbs(setup=lambda self, world: {"student": (s := world.student()), "teacher": copy.deepcopy(s)}),
)  # fmt: skip


def look_after(self: Any) -> None:
    """As a core would that scores a batch after it was learned from."""
    if self.step:
        with stream(self.seed, self.step, "observe"), seal.learning(False):
            self.observed[self.step - 1] = self.world.observe(lambda: artefact(self), self.step - 1)


def look_with_the_seal_lifted(self: Any) -> None:
    with stream(self.seed, self.step, "observe"), seal.learning(False):
        self.observed[self.step] = self.world.observe(lambda: artefact(self), self.step)


faults(C.test_test_split_is_sealed_in_fit, name="rmt", open_for_the_result=lambda p: p.patch.setattr(Run, "look", look_with_the_seal_lifted))  # fmt: skip
faults(
    C.test_a_stream_shows_no_labels_and_is_scored_before_it_is_learned_from, name="rmt",
    scored_too_late=lambda p: p.patch.setattr(Run, "look", look_after), never_scored=lambda p: p.patch.setattr(Run, "look", lambda self: None),
    labels_arrive=lambda p: p.patch.setattr(Stream, "rows", lambda self, step, split="train": Rows.rows(self, step)),
)  # fmt: skip
faults(
    C.test_of_a_sequence_only_the_present_task_is_seen, name="wa-cil",
    looks_back=lambda p: p.verbs(**before("after_step", lambda run, b: run.rows(step=0), "wa-cil")),
    looks_ahead=lambda p: p.verbs(**before("setup", lambda world: world.rows(world.steps - 1), "wa-cil")),
    sweeps=lambda p: p.verbs(**before("setup", lambda world: list(world.sweep()), "wa-cil")),
)  # fmt: skip
faults(C.test_who_acts_learns_from_what_the_student_did, name="alp-gmm", somebody_else_acts=lambda p: p.verbs(source=taught_by_another))  # fmt: skip
faults(
    C.test_a_curriculum_hears_what_came_of_its_tasks, name="alp-gmm",
    draws_by_lot=lambda p: p.verbs(source=lambda self, run: run.world.play(run["student"], run.rows().x)),
    leaves_the_cube=lambda p: p.verbs(source=lambda self, run: run.world.play(run["student"], 2 * run.rows().x)),
)  # fmt: skip
faults(C.test_what_the_teacher_wrote_is_learned_from, name="llm2llm", never_written=lambda p: p.verbs(after_step=lambda self, run, b: None))  # fmt: skip
faults(
    C.test_a_made_data_set_can_be_learned_from, name="ftd",
    a_network=lambda p: p.verbs(result=lambda self, run: run.nets["student"]),
    a_class_is_missing=lambda p: p.verbs(result=lambda self, run: Batch(x=run["average"].x.detach()[:3], y=run["average"].y[:3])),
    not_a_number=lambda p: p.verbs(result=lambda self, run: Batch(x=run["average"].x.detach() / 0, y=run["average"].y)),
)  # fmt: skip
faults(C.test_what_was_found_is_within_the_limit, name="autodistil", everything=lambda p: p.verbs(result=lambda self, run: run.nets["student"]))  # fmt: skip


@pytest.mark.parametrize("label", FAULTS)
def test_bites(label: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    check, name, args, plant, sound = FAULTS[label]
    patch = Plant(monkeypatch, name, tmp_path)

    def folder(k: str) -> dict[str, Path]:
        return {"tmp_path": tmp_path / k} if "tmp_path" in inspect.signature(check).parameters else {}

    sound(patch)
    check(name, *args, **folder("sound"))
    plant(patch)
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        check(name, *args, **folder("broken"))
    print(label, "|", type(caught.value).__name__, str(caught.value).splitlines()[0])  # what bit, for who runs it with -s


CLASSES = [n for n in contract.DIGITS if "classes" in contract.CARDS[n].tags][:1]


@pytest.mark.parametrize("name", CLASSES)
def test_bites_who_needs_classes_without_the_tag(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    contract.test_other_tasks_are_refused_by_who_needs_classes(name)
    Plant(monkeypatch, name, tmp_path).card(tags=contract.CARDS[name].tags - {"classes"})
    with pytest.raises(pytest.fail.Exception):
        contract.test_other_tasks_are_refused_by_who_needs_classes(name)


def test_bites_two_processes() -> None:
    """Of one method the gradients aren't averaged; of the other the loss is a sum, of which the mean over processes is half."""
    folder = contract.launch(
        ("alone", "kd"),
        before="""
from understudy.core import devices, registry
mean, train = devices.mean_gradients, ranks.train
def broken(name):
    devices.mean_gradients = (lambda parameters: None) if name == "alone" else mean
    return train(name)
ranks.train = broken
kd = registry.get("kd")
kd.loss = lambda self, run, b: {"soft": run.world.soft(run["student"](b.x), run["teacher"](b.x), self.t) * len(b)}
""",
    )
    with pytest.raises(AssertionError, match="drifted apart"):
        contract.one_and_two("alone", folder)
    with pytest.raises(AssertionError, match=r"\de-?\d"):
        contract.one_and_two("kd", folder)


def test_every_check_has_a_fault() -> None:
    """Also the next one."""
    bitten = {check.__name__ for check, *_ in FAULTS.values()} | {
        "test_other_tasks_are_refused_by_who_needs_classes",
        "test_two_processes_are_one_with_twice_the_rows",
    }
    assert {n for n in vars(contract) if n.startswith("test_")} == bitten
