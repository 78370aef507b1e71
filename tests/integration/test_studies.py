"""Studies: each runs, says the same again, goes on where it was, and can come out either way."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from understudy import studies
from understudy.cli import app
from understudy.core.errors import Refused
from understudy.studies import Cell, Study
from understudy.study import publish, run, told
from understudy.worlds import WORLDS

ROOT = Path(__file__).parents[2]
SLUGS = frozenset((ROOT / "tests" / "contract" / "slugs.txt").read_text().split())
every = pytest.mark.parametrize("name", studies.files())


def u(*args: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in args], prog_name="understudy")


# ------------------------------------------------------------------------------------------------------------ the file and the card


@every
def test_card_is_complete(name: str) -> None:
    entry, study = studies.entries()[name], studies.get(name)
    c = study.card
    assert entry.card == c and study.name == name
    assert c.title.strip() and re.fullmatch(r"arXiv:\d{4}\.\d{4,5}|doi:10\.\d{4,}/\S+", c.paper) and 1980 <= c.year <= 2030
    assert c.slug in SLUGS and c.worlds and set(c.worlds) <= WORLDS.keys() and c.seeds >= 2
    assert c.claim.endswith(".") and entry.idea.endswith(".")
    assert set(study.grid) == set(study.little) and len(study.cells(small=True)) <= len(study.cells())


@every
def test_the_file_says_when_the_claim_holds_and_where_it_departs(name: str) -> None:
    text = studies.files()[name].read_text()
    doc = " ".join((type(studies.get(name)).__doc__ or "").split())
    assert "The claim holds where" in doc and "Departures:" in doc
    assert max(map(len, text.splitlines())) <= 130
    assert not re.search(r"\.backward\(|\.zero_grad\(|optim|\*\*kwargs", text), "the core learns"


def test_slugs_are_unique() -> None:
    slugs = [e.card.slug for e in studies.entries().values()]
    assert len(set(slugs)) == len(slugs)


# --------------------------------------------------------------------------------------------------------------------- run and go on


class Stop(Exception):
    """Somebody pulled the plug."""


def stopping(after: int) -> Callable[[int, int], None]:
    def say(done: int, of: int) -> None:
        if done == after:
            raise Stop

    return say


def plain(result: dict[str, Any]) -> dict[str, Any]:
    """Without what a clock says."""
    cells = [{k: v for k, v in c.items() if k != "seconds"} for c in result["cells"]]
    return {k: v for k, v in result.items() if k != "seconds"} | {"cells": cells}


@every
def test_it_runs_goes_on_where_it_was_and_says_the_same_again(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = studies.get(name)
    measured: list[Any] = []
    real = type(study).measure
    monkeypatch.setattr(
        type(study), "measure", lambda self, at, seed, small: (measured.append((dict(at), seed)), real(self, at, seed, small))[1]
    )
    whole = 2 * len(study.cells(small=True))
    with pytest.raises(Stop):
        run(study, 2, tmp_path, stopping(3), small=True)
    (part,) = tmp_path.iterdir()
    assert len(json.loads(part.read_text())["cells"]) == len(measured) == 3
    result = run(study, 2, tmp_path, small=True)
    assert len(measured) == whole and len({json.dumps(m) for m in measured}) == whole, "a cell was measured twice, or never"
    assert isinstance(result["holds"], bool) and result["findings"]
    path = publish(result, tmp_path)
    assert json.loads(path.read_text()) == json.loads(json.dumps(result)) and list(tmp_path.iterdir()) == [path]
    again = study.measure(study.cells(small=True)[0], 0, small=True)
    assert again == result["cells"][0]["got"], "the same cell came out otherwise"


def test_cells_of_another_study_are_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that was edited since, that is."""
    study = studies.get("kd-fidelity-paradox")
    seen: list[int] = []
    got = {"accuracy": 0.5, "gain": 0.1, "fidelity": 0.5, "teacher": 0.9}
    monkeypatch.setattr(type(study), "measure", lambda self, at, seed, small: (seen.append(seed), got)[1])
    with pytest.raises(Stop):
        run(study, 2, tmp_path, stopping(3), small=True)
    monkeypatch.setattr("understudy.study._print", lambda study: "another text")
    first = run(study, 2, tmp_path, small=True)
    assert len(seen) == 3 + 16
    assert plain(first) == plain(run(study, 2, tmp_path, small=True)) and len(seen) == 19, "nothing had changed"


# ---------------------------------------------------------------------------------------------------------------- it can come out so, or so


def jitter(seed: int) -> float:
    return (0.0, 0.01, -0.01)[seed]


def hacking(yes: bool) -> Callable[..., Any]:
    ends = {"offline": 0.6, "few prompts": 0.8, "many answers": 0.5, "online": 0.5, "on-policy": 0.5}

    def got(at: Any, seed: int) -> Any:
        end = ends[at["source"]] * (1 + jitter(seed)) if yes else 0.45 + jitter(seed)
        return {"golden": [1.0, 0.5, end], "proxy": [1.0, 0.5, 0.3 + jitter(seed)]}

    return got


def gap(yes: bool) -> Callable[..., Any]:
    def got(at: Any, seed: int) -> Any:
        far = math.log(at["teacher"] / ((2.5, 2.2, 2.8)[seed] * at["student"]))
        return {"likelihood": -min(abs(far), 1.0) if yes else math.log(at["teacher"]), "sizes": [at["student"], at["teacher"]]}

    return got


def paradox(yes: bool) -> Callable[..., Any]:
    def got(at: Any, seed: int) -> Any:
        teacher, t = ("small", "large", "novice").index(at["teacher"]), (1.0, 4.0, 16.0).index(at["t"])
        gain = (1 / at["student"] if yes else 1.0) + 0.001 * ((3 * t + 2 * teacher) % 7)
        return {
            "gain": gain,
            "fidelity": (teacher + seed) % 3 if yes else gain,
            "teacher": (2 * t + teacher) % 3 if yes else gain,
        }

    return got


def pipelines(yes: bool) -> Callable[..., Any]:
    def got(at: Any, seed: int) -> Any:
        chance = 0.001 * ((7 * len(at["kind"]) + 5 * len(at["layers"]) + 3 * len(at["inside"]) + seed) % 5)
        gain = 0.2 * (at["inside"] == "mi") + 0.05 * (at["drop"] > 0) if yes else 0.2 * (at["mix"] > 0)
        return {"accuracy": 0.5 + chance + gain}

    return got


def sounds(yes: bool) -> Callable[..., Any]:
    def got(at: Any, seed: int) -> Any:
        better = at["method"] in (("MM", "RMM", "FM") if yes else ("MT", "DCT"))
        return {"accuracy": 0.5 + 0.2 * better + (0.1 if yes else -0.1) * (at["mixup"] > 0) + jitter(seed) * (1 + better)}

    return got


def roofs(yes: bool) -> Callable[..., Any]:
    def got(at: Any, seed: int) -> Any:
        better = (at["way"] == "SDA") == yes
        return {kind: 0.5 + 0.2 * better + jitter(seed) * better for kind in ("low-rise", "mid-rise", "high-rise", "skyscraper")}

    return got


def ridges(yes: bool) -> Callable[..., Any]:
    def got(at: Any, seed: int) -> Any:
        if at["weight"] == "best":
            return {"lost": 1e-9 if yes else -1e-3, "near": 0.3 if yes else 4.0, "gained": (0.1 if yes else -0.1) + jitter(seed)}
        apart = (1e-13 if yes else 1e-3) * (1 + jitter(seed))
        return {"apart": apart, "limit": apart if at["weight"] else None}

    return got


def mixtures(yes: bool) -> Callable[..., Any]:
    def got(at: Any, seed: int) -> Any:
        plain, mixed, own = at["teacher"] == "plain", at["mixed"] != "none", at["t"] == "std"
        gain = 0.1 * plain + 0.05 * mixed + 0.05 * own if yes else -0.1 * plain - 0.05 * mixed
        return {
            "accuracy": 0.7 + gain * (1 + jitter(seed)),
            "entropy": 0.5 + (-0.2 if yes == plain else 0.2) * (1 + jitter(seed)),
        }

    return got


def nobody(yes: bool) -> Callable[..., Any]:
    def got(at: Any, seed: int) -> Any:
        learned = yes == (at["inputs"] == "pictures")
        gain = (0.1 + 0.1 * (yes == (at["a"] < 1))) * (1 if learned else -1) * (1 + jitter(seed))
        return {"student": 0.5 + gain, "teacher": 0.5, "before": 0.5 + jitter(seed)}

    return got


MADE_UP = {
    "random-teachers": nobody,
    "mix-kd": mixtures,
    "sd-ground-truth": ridges,
    "sda-building": roofs,
    "ssl-audio-comparison": sounds,
    "teacher-hacking": hacking,
    "minima-capacity-gap": gap,
    "kd-fidelity-paradox": paradox,
    "distiller-nlp": pipelines,
}


def outcome(study: Study, got: Callable[..., Any]) -> Any:
    return study.outcome([Cell(at, seed, got(at, seed)) for seed in range(3) for at in study.cells()])


@every
def test_the_outcome_can_be_yes_and_no(name: str) -> None:
    study, made_up = studies.get(name), MADE_UP[name]
    yes, no = outcome(study, made_up(True)), outcome(study, made_up(False))
    assert all(f.holds for f in yes), [f.told for f in yes if not f.holds]
    assert not any(f.holds for f in no[:1]) and not all(f.holds for f in no)
    for f in (*yes, *no):
        assert f.effect["low"] <= f.effect["mean"] <= f.effect["high"]


@every
def test_what_is_published_follows_from_its_cells(name: str) -> None:
    """No figure was written by hand, and the rule is still the one it was judged by."""
    path = ROOT / "proofs" / "studies" / f"{name.replace('-', '_')}.json"
    found, study = json.loads(path.read_text()), studies.get(name)
    assert json.loads(json.dumps(told(study, found["cells"]))) == {k: found[k] for k in told(study, found["cells"])}
    assert [(c["at"], c["seed"]) for c in found["cells"]] == [(at, s) for s in found["seeds"] for at in study.cells()]
    assert found["seeds"] == list(range(study.card.seeds)) and found["command"].startswith(f"understudy study {name}")


# ----------------------------------------------------------------------------------------------------------------- from the command line


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paradox, measured by nobody."""
    got = paradox(True)
    monkeypatch.setattr(type(studies.get("kd-fidelity-paradox")), "measure", lambda self, at, seed, small: got(at, seed))


def test_from_the_command_line(tmp_path: Path, quick: None) -> None:
    done = u("study", "kd_fidelity_paradox", "--seeds", 3, "--folder", tmp_path)
    assert done.exit_code == 0 and "holds" in done.stdout and "✔" in done.stdout, done.output
    found = json.loads((tmp_path / "kd_fidelity_paradox.json").read_text())
    assert (
        found["holds"] and found["command"] == "understudy study kd-fidelity-paradox --seeds 3" and len(found["cells"]) == 3 * 36
    )
    small = json.loads(u("study", "kd-fidelity-paradox", "--small", "--seeds", 2, "--folder", tmp_path, "--json").stdout)
    assert small["file"] == str(tmp_path / "small" / "kd_fidelity_paradox.json") and "cells" not in small


def test_one_that_does_not_hold_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got = paradox(False)
    monkeypatch.setattr(type(studies.get("kd-fidelity-paradox")), "measure", lambda self, at, seed, small: got(at, seed))
    done = u("study", "kd-fidelity-paradox", "--seeds", 2, "--folder", tmp_path)
    assert done.exit_code == 1 and "not reproduced at this scale" in done.stdout


def test_list_and_show_know_them(tmp_path: Path) -> None:
    assert {m["name"] for m in json.loads(u("list", "--studies", "--json").stdout)} == set(studies.files())
    said = u("show", "teacher-hacking", "--proofs", tmp_path).stdout
    for part in ("On Teacher Hacking", "arXiv:2502.02671", "The claim holds where", "understudy study teacher-hacking"):
        assert part in said
    assert json.loads(u("show", "kd_fidelity_paradox", "--proofs", ROOT / "proofs", "--json").stdout)["outcome"]["holds"] is False


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="did you mean 'teacher-hacking'"):
        studies.get("teacher-hackin")
    assert u("study", "teacher-hackin").exit_code == 2
    assert u("list", "--studies", "--family", "logit").exit_code == 2
