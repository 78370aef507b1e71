"""Advice: what is seen, what fits, what is proposed, and a search that can be stopped."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import understudy
from understudy.advice import Advice, counsel, rules
from understudy.advice import search as searching
from understudy.advice.budget import Cost, measure, parse
from understudy.advice.proofs import proof
from understudy.advice.situation import LADDER, Situation, look
from understudy.cli import app
from understudy.config import Config, Rows, Training
from understudy.core.errors import Refused, Sealed
from understudy.core.registry import build
from understudy.job import plan

QUICK = Training(epochs=1, batch=64)
SP = build({"name": "sp"}).config()["w"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the teacher is trained once."""
    return str(tmp_path_factory.mktemp("runs"))


def config(folder: str, **changes: object) -> Config:
    made = Config(data=Rows("digits", limit=200), training=QUICK, teacher_training=QUICK, folder=folder)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def advice(folder: str) -> Advice:
    return counsel(config(folder), chosen=False, budget="params<2k")


# ------------------------------------------------------------------------------------------------------------------ the budget


def test_a_budget_is_read_with_its_units() -> None:
    made = parse("params<1.5M, latency<=2ms,bytes < 500kB, flops<1e7")
    assert [(limit.what, limit.most) for limit in made.limits] == [
        ("params", 1.5e6),
        ("latency", 2.0),
        ("bytes", 5e5),
        ("flops", 1e7),
    ]
    assert parse("latency<500us").most("latency") == 0.5 and parse("bytes<2MiB").most("bytes") == 2**21 and parse("").limits == ()
    assert parse(str(made)) == made


@pytest.mark.parametrize(
    ("text", "named"),
    [("size<3", "budget='size'"), ("params", "budget='params'"), ("params<", "budget"), ("params<3parsecs", "budget.params='3parsecs'"),
     ("params<-1", "budget.params"), ("latency<2", "budget.latency"), ("params>3", "budget"), ("parms<3", "did you mean 'params'")],
)  # fmt: skip
def test_a_budget_that_is_none_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(Refused, match=named):
        parse(text)


def test_a_cost_is_counted() -> None:
    cost = measure(nn.Linear(10, 5), torch.zeros(3, 10))
    assert (cost.params, cost.bytes, cost.flops) == (55, 220, 100) and cost.latency > 0
    tight = parse("params<50,bytes<1kB,flops<10")
    assert len(tight.missed(cost)) == 2 and "55 params is over 50" in tight.missed(cost)[0]
    assert "can't be counted" in tight.missed(Cost(1, 1, 1.0, None))[0]


# --------------------------------------------------------------------------------------------------------------- the situation


def test_what_there_is_is_seen_without_the_test_rows(folder: str) -> None:
    job = plan(config(folder, student="tiny-mlp?width=4"))
    job.teach()

    class Shut:
        train, valid = job.world.data.train, job.world.data.valid

        @property
        def test(self) -> None:
            raise Sealed("the test rows were read")

    job.world.data = Shut()
    seen = look(job)
    assert (seen.task, seen.kind, seen.rows, seen.hidden, seen.classes, seen.access) == (
        "classify",
        "image",
        130,
        0,
        10,
        "inside",
    )
    assert seen.gap == seen.teacher_params / seen.student_params > 100
    assert 0 <= seen.calibration <= 1 and 0 <= seen.beside <= 1 and seen.begins < 0.5
    assert len(seen.entropy) == len(LADDER) and all(a < b for a, b in zip(seen.entropy, seen.entropy[1:], strict=False))
    assert seen.entropy_at(4.0) == seen.entropy[LADDER.index(4.0)]


def test_hidden_labels_are_counted_and_a_forest_cant_be_looked_into() -> None:
    from sklearn.ensemble import RandomForestClassifier

    data = understudy.data.load("digits", limit=200)
    data.train.y[:50] = -1
    forest = RandomForestClassifier(20, random_state=0).fit(data.train.x.flatten(1).numpy()[50:], data.train.y.numpy()[50:])
    made = understudy.advise(forest, "tiny-mlp", data, epochs=1)
    assert (made.situation.hidden, made.situation.access, made.situation.teacher_params) == (50, "answers", 0)
    assert made.command.startswith("understudy.distill(teacher=teacher, student='tiny-mlp', data=data, method={")
    assert "labels" in {p.rule for p in made.proposals}


# ---------------------------------------------------------------------------------------------------------------- the students


def test_the_students_proposed_fit_and_none_too_small_is_among_them(advice: Advice) -> None:
    weights = [c.cost.params for c in advice.students]
    assert max(weights) < 2000 and min(weights) >= max(weights) / 2
    assert all(c.similarity is not None and c.similarity < 0 for c in advice.students if "cnn" in c.address)
    assert advice.config.student == advice.student.address


def test_a_budget_without_room_says_what_the_least_is(folder: str) -> None:
    with pytest.raises(Refused, match="params<5.*smallest is tiny-.*is over 5 params"):
        counsel(config(folder), chosen=False, budget="params<5")
    with pytest.raises(Refused, match="student='tiny-cnn'.*over 100 params"):
        counsel(config(folder), chosen=True, budget="params<100")


# ------------------------------------------------------------------------------------------------------------------- the rules

SEEN = Situation(task="classify", metric="accuracy", kind="image", rows=1000, hidden=0, valid=300, passes=10.0, optimiser="sgd", classes=10, access="inside", teacher="cnn",
                 teacher_params=10**6, student_params=10**4, score=0.95, taught=0.97, begins=0.1, beside=0.1, calibration=0.02, confidence=0.93,
                 luck=0.12, margin=4.0, entropy=tuple(min(1.0, 0.02 * t**2) for t in LADDER))  # fmt: skip


def settings(seen: Situation) -> dict[str, object]:
    return rules.method(tuple(p for rule in rules.RULES if (p := rule(seen)) is not None))


@pytest.mark.parametrize("task", ["classify", "multilabel", "regress"])
@pytest.mark.parametrize("access", ["inside", "answers", "stored"])
@pytest.mark.parametrize("kind", ["image", "text", "table"])
@pytest.mark.parametrize("hidden", [0, 400, 1000])
def test_whatever_is_seen_a_method_that_fits_is_proposed(task: str, access: str, kind: str, hidden: int) -> None:
    seen = dataclasses.replace(SEEN, task=task, access=access, kind=kind, hidden=hidden, taught=None if hidden == 1000 else 0.97,
                               classes=0 if task == "regress" else 10, entropy=() if task == "regress" else SEEN.entropy)  # fmt: skip
    made = build(settings(seen))  # type: ignore[arg-type]
    assert not made.card.tasks or task in made.card.tasks
    assert access == "inside" or "taps" not in made.card.tags
    assert rules.doubts(seen, ())


def test_every_rule_says_why_in_a_sentence_and_no_two_set_the_same() -> None:
    made = [p for rule in rules.RULES if (p := rule(SEEN)) is not None]
    assert all(p.reason.strip().endswith(".") and len(p.reason) < 330 for p in made)
    names = [k for p in made for k in p.sets]
    assert len(names) == len(set(names)) and len({p.rule for p in made}) == len(made)


def test_the_surer_the_teacher_the_higher_the_temperature() -> None:
    ts = [
        settings(dataclasses.replace(SEEN, entropy=tuple(min(1.0, c * t**2) for t in LADDER)))["t"]
        for c in (0.9, 0.1, 0.02, 0.005)
    ]
    assert ts == sorted(ts) and ts[0] < ts[-1] and all(1 <= t <= 16 for t in ts)  # type: ignore[type-var, operator]


def test_a_proof_is_quoted_as_it_came_out(tmp_path) -> None:
    (tmp_path / "ls_kd.json").write_text(
        json.dumps({"world": "digits", "verdict": "not reproduced at this scale: -2", "holds": False})
    )
    assert proof(tmp_path, "ls-kd").told == "not reproduced at this scale: -2 (world 'digits')"
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds" / "dkd.json").write_text(json.dumps({"world": "digits", "verdict": "holds: +2", "holds": True}))
    assert proof(tmp_path, "dkd").told == "holds: +2 (world 'digits' on 'birds')"
    assert proof(tmp_path, "kd").holds is None and "no proof at hand" in proof(tmp_path, "kd").told


# ----------------------------------------------------------------------------------------------------------------- the commands


def test_the_command_line_that_is_proposed_runs(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    asked = [
        "advise",
        "--data",
        "digits",
        "--limit",
        "200",
        "--epochs",
        "1",
        "--folder",
        folder,
        "--budget",
        "params<2k",
        "--set",
        "teacher_training.epochs=1",
        "--proofs",
        str(Path(__file__).parents[2] / "proofs"),
    ]
    said = CliRunner().invoke(app, asked)
    assert said.exit_code == 0, said.output
    lines = said.output.partition("To do it\n")[2].splitlines()
    assert len(lines) > 1 and all(len(line) <= 80 for line in lines)
    command = " ".join(line.strip().removesuffix(" \\") for line in lines)
    assert (
        "What there is" in said.output
        and "Not known" in said.output
        and "kd" in said.output.partition("Proofs")[2]
        and "none at hand" not in said.output
    )
    printed = CliRunner().invoke(app, [*shlex.split(command)[1:], "--print-config"])
    assert printed.exit_code == 0, printed.output
    plain = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert plain["command"] == command and plain["config"]["method"]["name"] in printed.output
    checked = CliRunner().invoke(app, ["doctor", *shlex.split(command)[2:], "--folder", folder])
    assert "✘" not in checked.output and checked.exit_code == 0, checked.output


# ------------------------------------------------------------------------------------------------------------------- the search


def searched(folder: str, where: str, trainings: float = 5) -> searching.Found:
    made = config(folder, student="tiny-mlp?width=8", training=Training(epochs=6, batch=64))

    def world(address: str):
        job = plan(dataclasses.replace(made, student=address))
        job.teach()
        return job.world

    first = [{"t": 4.0, "a": 0.9, "rate": 1.0, "beside": "none"}]
    return searching.search(made, world, trainings, folder_of(folder, where), first=first)


def folder_of(folder: str, where: str) -> Path:
    return Path(folder) / "searches" / where


def test_a_search_keeps_its_budget_and_a_stopped_one_ends_the_same(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = searched(folder, "whole")
    assert 4 < whole.spent <= 5 and whole.trials >= 5 and whole.stopped > 0 and 0 <= whole.test <= 1
    asked = []
    usual = searching._try

    def stops(*args: object) -> None:
        asked.append(1)
        if len(asked) == 3:
            args[1].ask()  # type: ignore[attr-defined]  # a trial that was under way
            raise KeyboardInterrupt
        usual(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(searching, "_try", stops)
    with pytest.raises(KeyboardInterrupt):
        searched(folder, "stopped")
    monkeypatch.setattr(searching, "_try", usual)
    assert searched(folder, "stopped") == whole == searched(folder, "whole")
    assert not list(folder_of(folder, "whole").rglob("*.pkl"))
    with pytest.raises(Refused, match="search.folder"):
        searching.search(
            config(folder, student="tiny-mlp"),
            lambda _: plan(config(folder, student="tiny-mlp")).world,
            3,
            folder_of(folder, "whole"),
        )


def test_terms_are_weighed_by_their_gradients(folder: str) -> None:
    job = plan(config(folder, student="tiny-cnn"))
    job.teach()
    parts = [{"name": "kd"}, {"name": "sp"}]
    one = searching.balance(parts, job.world, 0)
    heavier = searching.balance([{"name": "kd"}, {"name": "sp", "w": 4 * SP}], job.world, 0)
    assert one > 0 and math.isclose(one / heavier, 4.0, rel_tol=1e-3)
    made = searching.method({"t": 4.0, "a": 0.9, "beside": "sp", "ratio": 0.5}, job.world, 0)
    assert made["name"] == "compose" and math.isclose(made["weights"][1], one / 2, rel_tol=1e-2)


def test_only_what_every_student_can_learn_from_is_offered(folder: str) -> None:
    worlds = [plan(config(folder, student=s)).world for s in ("tiny-cnn", "tiny-mlp")]
    assert "at" in searching.companions(worlds[0]) and "at" not in searching.companions(*worlds)
    assert searching.companions(plan(config(folder, student="tiny-mlp", teacher="sklearn:random-forest")).world) == ("none",)


def test_less_than_one_training_is_refused(folder: str) -> None:
    with pytest.raises(Refused, match=r"search=0\.5"):
        searched(folder, "little", 0.5)
