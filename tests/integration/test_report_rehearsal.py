"""The page of a rehearsal: pictures where the kind of world has some, whole by itself, words escaped."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from markupsafe import escape
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from understudy.cli import app
from understudy.core.batch import Batch
from understudy.core.fit import fit
from understudy.core.registry import get
from understudy.core.run import start
from understudy.rehearsal import Rehearsal
from understudy.report import stages
from understudy.report.gradients import noted
from understudy.report.rehearsed import headline, idea, render, write_report
from understudy.worlds import WORLDS


def done(method: str, score: float = 0.5, steps: int = 3, **settings: Any) -> Rehearsal:
    """A few steps in the small world of its kind, which has no test rows: the score is made up."""
    name = get(method).card.world
    history: list[dict[str, float]] = []
    run = start(get(method)(**settings), WORLDS[name](0, small=True), 0, device="cpu")
    fit(run, steps, watch=lambda run, _, terms: history.append({"step": run.step} | noted(run, terms)))
    return Rehearsal(run, score, 1.5, None, name, history)


def pictures(page: str) -> list[Image.Image]:
    return [
        Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r'<img src="data:image/png;base64,([^"]+)"', page)
    ]


@pytest.mark.parametrize(
    ("method", "title", "many"),
    [("soft-teacher", "What is found", 3), ("bcp", "What is told apart", 3), ("dmd2", "What is drawn", 2)],
)
def test_pictures_of_its_kind(method: str, title: str, many: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "SHOWN", 3)
    monkeypatch.setattr(stages, "_teacher_draws", lambda *_: None)  # of an untrained diffusion model, in 40 steps
    r = done(method)
    before = {k: v.clone() for k, v in r.run.nets.state_dict().items()}
    modes = [m.training for m in r.run.nets.modules()]
    page = write_report({method: r}, tmp_path / "page.html", f"understudy rehearse {method}").read_text()
    assert all(torch.equal(v, before[k]) for k, v in r.run.nets.state_dict().items())
    assert modes == [m.training for m in r.run.nets.modules()]
    shown = pictures(page)
    assert title in page and len(shown) == many and all(len(p.convert("RGB").getcolors(10**6) or []) > 2 for p in shown)
    assert page.count(' alt="') == many and "<script" not in page and "understudy rehearse" in page
    assert not re.search(r'(?:src|href)="(?!data:|#|https://(?:arxiv|doi)\.org/)', page)
    assert (tmp_path / "page.html").stat().st_size < 1_000_000


def test_boxes_are_drawn_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "SHOWN", 1)

    class Finds(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            rois = torch.tensor([[[8.0, 8.0, 40.0, 40.0]]]).expand(len(x), 1, 4)
            return {
                "logits": torch.tensor([[[9.0, 0, 0, 0, 0, 0]]]).expand(len(x), 1, 6),
                "offsets": torch.zeros(len(x), 1, 4),
                "rois": rois,
            }

    r = done("soft-teacher")
    r.run.nets["teacher"] = Finds()
    vermilion = lambda shot: sum(n for n, (r, g, b) in Image.open(io.BytesIO(base64.b64decode(shot.src.split(",")[1]))).convert("RGB").getcolors(10**6)
                                 if r > 180 and 70 < g < 130 and b < 60)  # fmt: skip
    nothing = stages.album(r.run)
    found = stages._found(r.run, Finds())
    assert "student 1" in found.shots[0].caption and "teacher 1" in found.shots[0].caption
    assert nothing is not None and vermilion(found.shots[0]) > vermilion(nothing.shots[0]) + 100


def test_rows_as_long_as_a_square_are_pictures_and_data_sets_are_shown_row_by_row() -> None:
    assert stages._side(torch.zeros(3, 49)) == (1, 7, 7) and stages._side(torch.zeros(3, 3, 8, 9)) == (3, 8, 9)
    assert stages._side(torch.zeros(3, 2)) is None and stages._side(torch.zeros(3, 50)) is None
    made = stages._condensed(Batch(x=torch.rand(4, 1, 8, 8), y=torch.tensor([3, 1, 0, 2])))
    assert made is not None and [s.caption for s in made.shots] == ["3", "1", "0", "2"]
    mosaic = stages._mosaic(torch.rand(10, 1, 5, 4))
    assert mosaic.shape == (2 * 6 - 1, 8 * 5 - 1)


def test_other_worlds_have_a_plain_page_with_what_is_seen_on_the_way() -> None:
    r = done("alp-gmm", score=0.25, steps=4)
    page = render({"alp-gmm": r})
    assert "What came of it" in page and pictures(page) == [] and r.run.world.metric in page


def test_beside_a_baseline_the_page_says_who_is_ahead() -> None:
    ahead, behind = done("kd", 0.9), done("kd", 0.8, t=1.0)
    said = headline({"kd": ahead, "<other>": behind})
    assert said.good and said.text == "accuracy 90.0 % by kd, 10.0 points above <other>"
    assert not headline({"kd": behind, "other": ahead}).good
    page = render({"kd": ahead, "<other>": behind}, "understudy rehearse '<b>'")
    assert "&lt;other&gt;" in page and "<other>" not in page and "<b>&#39;" not in page
    assert str(escape(idea(ahead.run.method))) in page


def test_noting_terms_leaves_a_run_as_it_is() -> None:
    r = done("kd", steps=5)
    plain = fit(start(get("kd")(), WORLDS["digits"](0, small=True), 0, device="cpu"), 5)
    assert all(torch.equal(a, b) for a, b in zip(r.run.nets.parameters(), plain.nets.parameters(), strict=True))
    assert [h["step"] for h in r.history] == list(range(5)) and set(r.history[0]) == {"step", "loss/hard", "loss/soft"}


def test_the_page_lies_where_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.rehearsal.stage", lambda name, seed, _: WORLDS[name](seed))  # whose teacher knows nothing yet
    page = tmp_path / "there" / "page.html"
    told = CliRunner().invoke(
        app, ["rehearse", "kd", "--steps", "2", "--seed", "1", "--folder", str(tmp_path), "--report", str(page), "--json"]
    )
    assert told.exit_code == 0, told.output
    assert "understudy rehearse kd --seed 1 --steps 2" in page.read_text() and "loss terms" in page.read_text()
    assert json.loads(told.stdout)["kd"]["updates"] == 2
