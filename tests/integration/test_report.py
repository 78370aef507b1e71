"""The page, the card and the terminal say what the findings say."""

from __future__ import annotations

import dataclasses
import io
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console

from understudy.report import drawing, judged, pictures, words
from understudy.report.card import model_card
from understudy.report.differing import differing, parted
from understudy.report.findings import (
    Findings,
    Measured,
    Recipe,
    Rows,
    agreement,
    agreement_by_class,
    calibration_error,
    confusion,
    distance,
    examine,
    reliability,
)
from understudy.report.html import render, write_report
from understudy.report.terminal import summary

BAD = "<script>alert('x')</script> & $\\frac$"


def logits(*shares: list[float]) -> torch.Tensor:
    return torch.tensor(shares, dtype=torch.float64).log()


def make(**other) -> Findings:
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, 4, (80,), generator=g)
    teacher = 4.0 * torch.nn.functional.one_hot(y, 4) + torch.randn(80, 4, generator=g)
    student = teacher + torch.randn(80, 4, generator=g)
    given = {
        "title": "digits",
        "method": Recipe("kd", "L = T² KL(p ‖ q)", "arXiv:1503.02531", {"name": "kd", "t": 4.0}),
        "task": "classify",
        "metric": "accuracy",
        "data": Rows("digits", {"train": 900, "test": 80}, ("zero", "one", "two", "three")),
        "teacher": Measured("wide", 0.986, {"nll": 0.05}, 412_000, 1_610_000, 0.92),
        "student": Measured("tiny", 0.969, {"nll": 0.11}, 6_100, 30_000, 0.07),
        "alone": Measured("tiny", 0.948, {"nll": 0.2}, 6_100, 30_000, 0.07),
        "agreement": agreement("classify", teacher, student),
        "seconds": 12.0,
        "environment": {"torch": "2.13.0"},
        "command": "understudy distill --method kd",
        "onnx_difference": 2e-6,
        "history": [
            {"step": i, "loss/hard": 2 / (i + 1), "loss/soft": 1 / (i + 1)} | ({"valid": 0.9} if i % 5 == 0 else {})
            for i in range(40)
        ],
        "teacher_out": teacher,
        "student_out": student,
        "y": y,
        "x": torch.rand(80, 1, 8, 8, generator=g),
    }
    return Findings(**given | other)


def regression(**other) -> Findings:
    y = torch.linspace(0, 10, 50)
    t, s = y + 0.1, (y + 0.5)[:, None]
    return make(
        task="regress",
        metric="r2",
        teacher_out=t,
        student_out=s,
        y=y,
        x=torch.rand(50, 3),
        data=Rows("houses", {"test": 50}),
        agreement=agreement("regress", t, s),
        **other,
    )


def shown(f: Findings, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(summary(f))
    return console.file.getvalue()


def test_calibration_error_by_hand():
    # sure by 0.9 (right), 0.9 (wrong), 0.6 (right), 0.6 (hidden): two rows with |0.5 - 0.9|, one row with |1 - 0.6|
    out, y = logits([0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.6, 0.4]), torch.tensor([0, 1, 1, -1])
    assert calibration_error("classify", out, y) == pytest.approx(2 / 3 * 0.4 + 1 / 3 * 0.4)
    assert [(b.rows, round(b.right, 3)) for b in reliability("classify", out, y)] == [(1, 1.0), (2, 0.5)]
    assert calibration_error("classify", out, torch.full((4,), -1)) is None


def test_calibration_of_several_labels_counts_each_decision():
    # sure by 0.9 of yes, which is right, and of no, which is wrong
    out, y = torch.tensor([[math.log(9.0), -math.log(9.0)]]), torch.tensor([[1.0, 1.0]])
    assert calibration_error("multilabel", out, y) == pytest.approx(0.4)
    assert agreement_by_class("multilabel", out, -out, y) == (0.0, 0.0)
    assert agreement("multilabel", out, out.abs()) == 0.5


def test_agreement_and_confusion_by_hand():
    t, s = logits([0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]), logits([0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1])
    assert agreement("classify", t, s) == pytest.approx(2 / 3)
    assert agreement_by_class("classify", t, s) == (1.0, 0.5, None)
    assert agreement_by_class("classify", t, s, torch.tensor([0, 0, -1])) == (0.5, None, None)
    assert confusion("classify", t, s).tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_tokens_are_decisions_too():
    out = torch.randn(3, 5, 4)
    y = torch.randint(0, 4, (3, 5))
    y[0, 2:] = -1
    assert agreement("tag", out, out) == 1
    assert sum(b.rows for b in reliability("tag", out, y)) == 12
    assert distance("tag", out, out + 0.5).shape == (3,)


def test_distance_is_the_symmetric_divergence():
    t, s = logits([0.8, 0.2], [0.5, 0.5]), logits([0.5, 0.5], [0.5, 0.5])
    by_hand = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5) + 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    assert distance("classify", t, s).tolist() == pytest.approx([by_hand, 0])
    assert distance("regress", torch.tensor([1.0, 2.0]), torch.tensor([[3.0], [2.0]])).tolist() == [2, 0]


def test_regression_by_hand():
    y, out = torch.tensor([0.0, 2.0, torch.nan]), torch.tensor([1.0, 2.0, 9.0])
    found = examine("regress", y, out, y)
    assert found.rmse_student == pytest.approx(math.sqrt(0.5))
    assert found.r2_student == pytest.approx(0.5)
    assert found.r2_teacher == 1
    assert found.calibration_student is None


def test_headline_is_the_design_pages_line():
    f = make()
    said = words.headline(f)
    assert said.good
    assert said.text == "kept 98.3 % of the teacher in 1.5 % of its size, 13x faster"
    assert said.rest == (f"agreement {100 * f.agreement:.1f} %", f"calibration error {100 * f.numbers.calibration_student:.1f} %")


def test_a_student_worse_than_alone_says_so_first():
    f = make(alone=Measured("tiny", 0.975, {}, 6_100, 30_000, 0.07))
    said = words.headline(f)
    assert not said.good
    assert said.text == "worse than training alone: 96.9 % against 97.5 %, so the teacher did not help"
    assert "Worse than training alone" in render(f)
    assert "Worse than training alone" in model_card(f)
    assert "✘ worse" in shown(f)
    same = make(alone=f.student)
    assert not words.headline(same).good
    assert words.headline(same).text.startswith("no better than training alone")


def test_what_cannot_be_said_is_left_out():
    free = Measured("endpoint", -3.0, {}, 0, 0, 0.0)
    f = make(teacher=free, alone=None, metric="return", teacher_out=None, student_out=None, y=None, x=None, history=[])
    assert f.retention is None
    assert words.gain(f) is None
    assert words.headline(f).text == "return 0.969 against -3.000"
    page = render(f)
    assert "of its size" not in page
    assert "Calibration" not in page
    assert "differ most" not in page
    assert "not trained alone" in model_card(f)
    assert "student.onnx" in model_card(f)
    assert "student.onnx" not in model_card(make(onnx_difference=None))


def test_the_pages_numbers_are_the_findings():
    f = make()
    page = render(f)
    text = re.sub(r"<[^>]+>", " ", page)
    for number in (
        "98.6 %",
        "96.9 %",
        "94.8 %",
        "412,000",
        "6,100",
        "1.61 MB",
        "0.07 ms",
        "98.3 %",
        "13x",
        "+2.1",
        "0.11",
        "understudy distill --method kd",
        f"{100 * f.agreement:.1f} %",
        f"{100 * f.numbers.calibration_student:.1f} %",
        "2.1 points above",
    ):
        assert number in text, number
    assert 'href="https://arxiv.org/abs/1503.02531"' in page
    assert "L = T² KL(p ‖ q)" in page


def test_the_page_is_whole_by_itself(tmp_path):
    class Reader(HTMLParser):
        opened: list[str] = []
        fetched: list[str] = []

        def handle_starttag(self, tag, attrs):
            self.opened.append(tag)
            self.fetched += [
                v
                for k, v in attrs
                if k in ("src", "srcset") or (k == "href" and tag != "a") or (k == "xlink:href" and not v.startswith("#"))
            ]

    reader = Reader()
    reader.feed(write_report(make(), tmp_path / "report.html").read_text())
    assert "script" not in reader.opened
    assert reader.opened.count("svg") == 5
    assert reader.opened.count("img") == len(differing(make()))
    assert all(source.startswith("data:image/png;base64,") for source in reader.fetched)
    assert (tmp_path / "report.html").stat().st_size < 400_000


def test_words_from_outside_are_escaped():
    f = make(
        title=BAD,
        data=Rows(BAD, {"test": 80}, (BAD, "b", "c", "d")),
        command=BAD,
        x=[BAD] * 80,
        teacher=Measured(BAD, 0.98, {BAD: 1.0}, 9, 9, 1.0),
        method=Recipe("kd", BAD, "javascript:alert(1)", {"name": "kd", BAD: BAD}),
    )
    page = render(f)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 10
    assert 'href="javascript' not in page
    assert "<script" not in re.sub(r"```.*?```|^---.*?^---", "", model_card(f), flags=re.S | re.M)


@pytest.mark.parametrize("draw", [pictures.frontier, pictures.curves, judged.by_class, judged.calibration])
def test_figures_are_sound_svg_and_always_the_same(draw):
    svg = draw(make(data=Rows("d", {"test": 80}, (BAD, "b", "c", "d"))))
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert draw(make(data=Rows("d", {"test": 80}, (BAD, "b", "c", "d")))) == svg
    assert "var(--student, #d55e00)" in svg


def test_many_classes_show_where_it_agrees_least():
    y = torch.arange(400) % 40
    t = 9.0 * torch.nn.functional.one_hot(y, 40)
    s = t.clone()
    s[y == 7] = t[y == 7].roll(1, 1)
    f = make(teacher_out=t, student_out=s, y=y, agreement=agreement("classify", t, s), data=Rows("d", {"test": 400}))
    svg = judged.by_class(f)
    assert svg is not None
    assert ">7</text>" in svg
    assert "0.0 %" in svg
    assert svg.count("100.0 %") == judged.MOST_CLASSES - 1
    assert parted(f) == [("7", "8", 10)]


def test_regression_has_its_own_figures():
    f = regression()
    page = render(f)
    assert "Predicted and true" in page
    assert "Agreement by class" not in page
    assert "Calibration" not in page
    assert f.numbers.rmse_student == pytest.approx(0.5)
    assert "RMSE 0.5" in page
    assert differing(f)[0].answers[0].share is None
    assert yaml.safe_load(model_card(f).split("---")[1])["pipeline_tag"] == "tabular-regression"


def test_rows_where_they_differ_come_worst_first():
    f = make(x=torch.rand(80, 3, 200, 120))
    rows = differing(f, 5)
    apart = distance("classify", f.teacher_out, f.student_out)
    assert [r.index for r in rows] == apart.argsort(descending=True)[:5].tolist()
    assert rows[0].true == f.data.classes[int(f.y[rows[0].index])]
    assert rows[0].answers[0].says == f.data.classes[int(f.teacher_out[rows[0].index].argmax())]
    assert Image.open(io.BytesIO(drawing.thumbnail(f.x[0]))).size == (58, 96)
    assert differing(make(student_out=f.teacher_out)) == []


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (torch.rand(80, 8, 8), "image"),
        (["a"] * 80, "text"),
        (torch.zeros(80, 7, dtype=torch.long), "text"),
        (torch.rand(80, 7), "table"),
        (None, None),
    ],
)
def test_any_kind_of_row_makes_a_page(x, kind):
    f = make(x=x)
    assert f.kind == kind
    assert len(render(f)) > 10_000


@pytest.mark.parametrize("task", ["multilabel", "tag"])
def test_other_shapes_make_a_page(task):
    if task == "multilabel":
        t, y = torch.randn(30, 4), torch.randint(0, 2, (30, 4)).float()
    else:
        t, y = torch.randn(30, 6, 4), torch.randint(-1, 4, (30, 6))
    f = make(task=task, teacher_out=t, student_out=t + torch.randn_like(t), y=y, x=["text"] * 30)
    assert "differ most" in render(f)
    assert model_card(f).startswith("---\n")


def test_json_keeps_the_summary_and_what_was_read_from_the_arrays():
    for f in (make(), make(alone=None), regression()):
        back = Findings.from_json(f.to_json())
        assert back == f
        assert back.teacher_out is None
        assert back.history == []
        assert words.headline(back) == words.headline(f)
        assert shown(back) == shown(f)
        assert render(back)


def test_the_card_is_what_the_hub_reads():
    f = make()
    card = model_card(f)
    front = yaml.safe_load(card.split("---")[1])
    assert front["tags"] == ["understudy", "knowledge-distillation", "kd"]
    assert front["library_name"] == "understudy"
    assert front["pipeline_tag"] == "image-classification"
    assert "license" not in front
    assert yaml.safe_load(model_card(f, "apache-2.0").split("---")[1])["license"] == "apache-2.0"
    hub = pytest.importorskip("huggingface_hub")
    result = {r.metric_type: r for r in hub.ModelCard(card).data.eval_results}["accuracy"]
    assert result.metric_value == 0.969
    assert result.dataset_name == "digits"
    assert result.task_type == "image-classification"
    assert "| teacher: wide | 98.6 % | 412,000 | 1.61 MB | 0.92 ms |" in card
    assert "arxiv.org/abs/1503.02531" in card
    assert "2e-06" in card


def test_the_cards_snippet_is_python():
    for f in (make(), regression(), make(data=Rows("d", {"test": 80}, ("it's", BAD, "c", "d")))):
        for snippet in re.findall(r"```python\n(.*?)```", model_card(f), flags=re.S):
            compile(snippet, "card", "exec")


def test_the_terminals_lines(tmp_path):
    f = make()
    lines = shown(f).splitlines()
    assert " ".join(lines[0].split()) == "teacher 98.6 % 412,000 parameters 1.61 MB 0.92 ms a row"
    assert " ".join(lines[1].split()) == "student 96.9 % 6,100 parameters 30 kB 0.07 ms a row"
    assert lines[2].split() == ["alone", "94.8", "%"]
    assert lines[3].startswith("✔ kept 98.3 % of the teacher in 1.5 % of its size, 13x faster · agreement ")
    (tmp_path / "student.onnx").touch()
    console = Console(file=io.StringIO(), width=300)
    console.print(summary(f, tmp_path))
    assert console.file.getvalue().splitlines()[-1] == f"{tmp_path}/student.onnx (checked: max difference 2e-06)"


def test_chance_is_named_beside_a_gain():
    assert make().noise == pytest.approx(math.sqrt(2 * 0.969 * 0.031 / 80))
    assert words.gain(make()) == (
        "2.1 points above the same student trained alone, same budget, one run; "
        "chance alone moves such a difference by about 2.7 points on this many rows"
    )
    assert dataclasses.replace(make(), metric="f1").noise is None


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "50.0 %"), (0.0004, "0.04 %"), (0.0, "0.0 %"), (1.0, "100.0 %"), (0.00999, "1.0 %")]
)
def test_percent(value, text):
    assert words.percent(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(30_100, "30.1 kB"), (1_610_000, "1.61 MB"), (12, "12 B"), (0, "0 B"), (14_000_000_000, "14 GB"), (264_000_000, "264 MB")],
)
def test_size(count, text):
    assert words.size(count) == text
