"""The command that asks a language model once, and a student that learns from what it said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from understudy.cli import app
from understudy.data.code import library, train_tokenizer
from understudy.worlds.texts import llama


def u(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args], prog_name="understudy")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny models behind one tokenizer, and a few texts."""
    folder = tmp_path_factory.mktemp("label")
    texts = library(30_000)
    tokenizer = train_tokenizer(texts, 280)
    torch.manual_seed(0)
    for name, shape in (("large", (16, 1, 2)), ("small", (8, 1, 2))):
        llama(280, shape).inner.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    lines = [line for t in texts for line in t.splitlines() if len(line) > 30][:60]
    (folder / "rows.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
    return folder


def asked(place: Path, *more: object) -> tuple[object, ...]:
    return (
        "--task",
        "lm",
        "--teacher",
        f"hf:{place / 'large'}",
        "--data",
        f"jsonl:{place / 'rows.jsonl'}",
        "--length",
        24,
        *more,
    )


def test_label_then_learn(place: Path) -> None:
    """What is kept of the large one teaches the small one, and nothing else is asked."""
    out = place / "signals"
    told = u("label", *asked(place), "--samples", 20, "--out", out, "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["finished"]
    assert found["encoding"] == {"kind": "samples", "size": 20, "t": 1.0, "seed": 0}
    assert found["rows"] > 10
    assert 5 < found["bytes_a_place"] < 60
    assert u("label", *asked(place), "--samples", 20, "--out", out).exit_code == 0  # nothing is left to do
    run = u(
        "distill",
        *asked(place),
        "--student",
        f"hf:{place / 'small'}",
        "--signal",
        f"store:{out}",
        "--no-alone",
        "--folder",
        place / "runs",
        "--json",
    )
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["findings"]["signal"] == f"store:{out}"
    other = u(
        "distill",
        *asked(place),
        "--length",
        20,
        "--student",
        f"hf:{place / 'small'}",
        "--signal",
        f"store:{out}",
        "--folder",
        place / "runs",
    )
    assert other.exit_code == 2
    assert "never asked" in other.stderr


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--samples", 5, "--hidden"), "one of --samples"),
        (("--samples", 6), "encoding.*begun"),
        (("--hidden", "--temperature", 2), "no temperature"),
        (("--temperature", 0), r"encoding\.t"),
        (("--task", "classify"), "give --task lm"),
    ],
)
def test_refused(place: Path, more: tuple[object, ...], named: str) -> None:
    out = place / "refused"
    if "begun" in named:
        assert u("label", *asked(place), "--samples", 5, "--out", out).exit_code == 0
    told = u("label", *asked(place), *more, "--out", out)
    assert told.exit_code == 2, told.output
    (line,) = [line for line in told.stderr.splitlines() if "✘" in line]
    assert re.search(named, line), line
