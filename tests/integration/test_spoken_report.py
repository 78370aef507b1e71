"""The page and the card of a language model say what was found, whatever stands in the texts."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import torch
import yaml
from rich.console import Console

from understudy import lm
from understudy.data.chats import Part, Reader
from understudy.report import judged, pictures, spoken
from understudy.report.card import spoken_card
from understudy.report.findings import binned, gap
from understudy.report.spoken import Continuation, Heard, Said, Spoken, Word, summary
from understudy.report.spoken_page import STEPS, Piece, level, render, scenes, visible, write_report

BAD = "</span><script>alert('x')</script> & \"quoted\" $\\frac$ \u202e\x1b"


def heard(name: str, nll: float | None, size: int = 100, speed: float = 1000.0) -> Heard:
    if nll is None:
        return Heard(name, None, None, None, size, 4 * size, speed)
    bins = tuple(binned(torch.tensor([0.3, 0.9, 0.9]), torch.tensor([False, True, False])))
    return Heard(name, nll, 0.61, gap(bins), size, 4 * size, speed, bins)


def make(**other) -> Spoken:
    given = {
        "title": "jsonl:chats: hf:s learns from hf:t by kd",
        "method": "kd",
        "equation": "L = (1 - a) CE + a KL",
        "paper": "arXiv:1503.02531",
        "config": {"name": "kd", "a": 0.5},
        "signal": "online",
        "data": "jsonl:chats",
        "rows": {"train": 90, "test": 9},
        "tokens": {"train": 12_345, "test": 678},
        "cut": 3,
        "heard": {
            "teacher": heard("hf:t", math.log(10), 400, 500.0),
            "student": heard("hf:s", math.log(12.5)),
            "alone": heard("hf:s, text only", math.log(20)),
            "before": heard("hf:s, as it came", math.log(300)),
        },
        "agreement": 0.812,
        "divergence": 0.2345,
        "samples": [Said("def f(", "x):", (Continuation("student", "x, y):\n"), Continuation("teacher", "x, z):"), Continuation("before", "")))],
        "words": [(Word("def", None), Word(" f", 0.01), Word("\n", 0.7), Word("  x", 3.0))],
        "frequency": [{"from": 0, "tokens": 5, "student": 7.0, "teacher": 6.0}, {"from": 10, "tokens": 50, "student": 2.0, "teacher": 1.5}],
        "history": [{"step": i, "loss/hard": 3 - i / 20, "loss/soft": 1.0} | ({"valid": -2.0} if i % 5 == 0 else {}) for i in range(1, 20)],
        "seconds": 12.0,
        "command": "understudy distill --task lm",
        "environment": {"torch": "2.13.0"},
        "settings": {"epochs": 3, "signal": "online", "length": 64},
        "chance": 0.02,
    }  # fmt: skip
    return Spoken(**given | other)


def without(f: Spoken, *who: str, **other) -> Spoken:
    return dataclasses.replace(f, heard={k: m for k, m in f.heard.items() if k not in who}, **other)


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str | None] = []
        self.titles: list[str | None] = []
        self.heads: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.titles += [v for k, v in attrs if k == "title"]
        self.fetched += [v for k, v in attrs if k in ("src", "srcset") or (k == "href" and tag != "a")
                         or (k == "xlink:href" and not v.startswith("#"))]  # fmt: skip

    def handle_data(self, data):
        self.text += data
        if self.tags[-1:] == ["h2"] and data.strip():
            self.heads.append(data.strip())


ALL = ["The cast", "The frontier", "Learning", "Rare words and frequent ones", "Calibration", "What they say",
       "Where they part, token by token", "The method: kd", "Again"]  # fmt: skip


def test_all_parts_and_figures_are_there(tmp_path):
    page = Page(write_report(make(), tmp_path / "report.html").read_text())
    assert [h for h in page.heads if h in ALL] == ALL
    assert "script" not in page.tags
    assert page.fetched == []
    assert page.tags.count("svg") == 4
    for said in ("12.50", "10.00", "20.00", "300.0", "80.0 %", "25.0 %", "2.0x", "81.2 %", "0.234", "12,345", "L = (1 - a) CE + a KL",
                 "understudy distill --task lm", "2.13.0", "documents cut", "0.470 nats a token below", "± 0.020"):  # fmt: skip
        assert said in page.text, said
    assert 'href="https://arxiv.org/abs/1503.02531"' in render(make())


def test_what_was_kept_is_the_geometric_mean_of_probabilities():
    p, q = torch.tensor([0.5, 0.1, 0.2]), torch.tensor([0.4, 0.2, 0.05])
    f = make(heard={"teacher": heard("t", float(-p.log().mean())), "student": heard("s", float(-q.log().mean()))})
    assert f.kept == pytest.approx(float((q / p).log().mean().exp()))
    assert f.gain is None


def test_tokens_carry_their_figure_and_a_colour():
    page = render(make())
    assert '<span class="read">def</span><span class="h0" title="0.01 nats"> f</span>' in page
    assert '<span class="h3" title="0.70 nats"><i>⏎</i>\n</span>' in page
    assert '<span class="h5" title="3.00 nats"><i>··</i>x</span>' in page
    assert "3 tokens said · 1.237 nats on average" in page
    assert [level(x) for x in (0, *STEPS, math.inf, math.nan)] == [0, 1, 2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("word", "word"),
        (" word", " word"),
        (" ", " "),
        ("  ", "[··]"),
        ("    x", "[····]x"),
        ("a\n\tb", "a[⏎]\n[⇥]\tb"),
        ("\x1b\u202e", "[␛U+202E]"),
        ("\ud800", "[U+D800]"),
        ("�ä", "�ä"),
    ],
)
def test_what_cannot_be_seen_is_marked(text, shown):
    assert "".join(f"[{p.text}]" if p.mark else p.text for p in visible(text)) == shown


def test_samples_keep_their_lines_and_show_what_is_shared():
    (s,) = scenes(make())
    assert [c.who for c in s.speeches] == ["teacher", "student", "before"]
    assert s.speeches[1].same == (Piece("x, "),)
    assert s.speeches[1].rest == (Piece("y):\n"),)
    assert "nothing" in Page(render(make())).text  # said by who says nothing


def test_many_empty_lines_are_told_as_their_number():
    (s,) = scenes(make(samples=[Said("", "", (Continuation("teacher", "a" + "\n" * 50 + "b\n\nc"),))]))
    assert s.speeches[0].rest == (Piece("a"), Piece("⏎ 50x", True), Piece("\n"), Piece("b\n\nc"))


def test_words_from_outside_are_escaped():
    f = make(
        title=BAD,
        data=BAD,
        signal=BAD,
        command=BAD,
        equation=BAD,
        paper="javascript:alert(1)",
        config={"name": "kd", BAD: BAD},
        settings={BAD: BAD},
        environment={BAD: BAD},
        heard={k: dataclasses.replace(m, name=BAD) for k, m in make().heard.items()},
        samples=[Said(BAD, BAD, (Continuation("teacher", BAD), Continuation("student", BAD)))],
        words=[(Word(BAD, 0.3), Word(BAD, None))],
        history=[{"step": 1.0, f"loss/{BAD}": 1.0}],
    )
    page = Page(render(f))
    assert "script" not in page.tags
    assert page.text.count("<script>alert('x')</script>") > 15
    assert set(page.titles) <= {None, "0.30 nats"}
    assert 'href="javascript' not in render(f)
    assert "\x1b" not in "".join(p.text for s in scenes(f) for c in s.speeches for p in c.rest)
    assert "<script" not in re.sub(r"```.*?```|^---.*?^---", "", spoken_card(f), flags=re.S | re.M)
    assert yaml.safe_load(spoken_card(f).split("\n---\n")[0].removeprefix("---\n"))["model-index"]


def test_two_vocabularies():
    """The teacher's words can't be compared with the data's nor with the student's; what can be said is."""
    f = make(agreement=None, divergence=None, words=[], frequency=[{"from": 1, "tokens": 5, "student": 1.0}])
    f = dataclasses.replace(f, heard=f.heard | {"teacher": heard("hf:t", None, 400)})
    page = Page(render(f))
    assert f.kept is None
    assert "Where they part, token by token" not in page.heads
    assert {"What they say", "Rare words and frequent ones", "Calibration"} <= set(page.heads)
    assert "the teacher's vocabulary is another" in page.text
    assert "Perplexity kept" not in page.text
    assert "agreement" not in page.text
    assert "0.470 nats a token below" in page.text
    assert "another vocabulary" in shown(f)
    assert "the teacher's vocabulary is another" in spoken_card(f)


def test_a_model_that_writes_nothing():
    page = Page(render(make(samples=[], kind="masked")))
    assert "What they say" not in page.heads
    assert "Where they part, token by token" in page.heads
    card = spoken_card(make(samples=[], kind="masked"))
    assert "pipeline_tag: fill-mask" in card
    assert "generate" not in card


def test_no_teacher():
    f = without(make(), "teacher", "alone", agreement=None, divergence=None, words=[], chance=None)
    page = Page(render(f))
    assert spoken.headline(f).good
    assert spoken.headline(f).text == "perplexity 12.50, 300.0 before it learned"
    assert "Where they part, token by token" not in page.heads
    assert "Underlined" not in page.text
    assert "tokens a second" in page.text
    assert "It had no teacher." in spoken_card(f)
    assert not spoken.headline(dataclasses.replace(f, heard=f.heard | {"before": heard("s", math.log(12))})).good


def test_a_teacher_that_is_only_heard_of():
    """Learned from a store: the teacher isn't there, but what it was worth is known."""
    f = without(make(signal="store:signals"), "teacher", agreement=None, divergence=None, words=[])
    assert spoken.headline(f).text == "perplexity 12.50, 300.0 before it learned"
    assert "0.470 nats a token below" in Page(render(f)).text
    assert "It had no teacher" not in spoken_card(f)
    worse = dataclasses.replace(f, heard=f.heard | {"alone": heard("s", math.log(12))})
    assert spoken.headline(worse).text.startswith("worse than training on the text alone")


def test_nothing_but_a_student():
    bare = {"agreement": None, "divergence": None, "samples": [], "words": [], "frequency": [], "history": [], "chance": None}
    f = without(make(), "teacher", "alone", "before", **bare)
    page = Page(render(f))
    assert "Learning" not in page.heads
    assert page.tags.count("svg") == 1  # how sure it is
    assert spoken_card(f)


def test_a_student_worse_than_alone_says_so_first():
    f = make(heard=make().heard | {"alone": heard("hf:s, text only", math.log(12))})
    said = spoken.headline(f)
    assert not said.good
    assert said.text == "worse than training on the text alone: perplexity 12.50 against 12.00, so the teacher did not help"
    assert "Worse than training on the text alone" in Page(render(f)).text
    assert "nats a token above the same student" in Page(render(f)).text
    assert "✘ worse" in shown(f)


def test_a_loss_that_is_no_number():
    f = make(heard=make().heard | {"student": heard("hf:s", math.nan)}, divergence=math.nan, words=[(Word("a", math.nan), Word("b", 1.0))],
             frequency=[{"from": 1, "tokens": 5, "student": math.nan}])  # fmt: skip
    assert not spoken.headline(f).good
    assert "furthest apart at" in Page(render(f)).text
    assert '<span class="h5" title="nan nats">a</span>' in render(f)
    assert spoken_card(f)


def test_long_texts_are_cut():
    f = make(samples=[Said("x" * 5000, "", (Continuation("teacher", "y"),))], words=[tuple(Word("z", 0.1) for _ in range(2000))])
    page = Page(render(f))
    assert "… 1,400 more" in page.text
    assert "x" * 600 in page.text
    assert "x" * 601 not in page.text


@pytest.mark.parametrize("draw", [pictures.spoken_frontier, judged.by_frequency])
def test_figures_are_sound_svg_and_always_the_same(draw):
    svg = draw(make())
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert draw(make()) == svg
    assert "var(--student, #d55e00)" in svg


def test_chance_is_that_of_the_rows():
    """With rows of one length it is the standard error of the rows' means."""
    y = torch.zeros(6, 5, dtype=torch.long)
    y[:, 0] = -1
    one, other = torch.rand(6, 4, dtype=torch.float64), torch.rand(6, 4, dtype=torch.float64)
    by_hand = (one - other).mean(1).std() / math.sqrt(6)
    found = lm._chance(one.flatten(), other.flatten(), Part({"input_ids": y}, y))
    assert found == pytest.approx(float(by_hand))
    assert lm._chance(one[:1].flatten(), other[:1].flatten(), Part({"input_ids": y[:1]}, y[:1])) is None


class Letters:
    """A tokenizer of 26 words."""

    def decode(self, ids):
        return "".join(chr(97 + i) for i in ids)


def test_a_packed_row_shows_prompts_and_answers_of_each_text():
    """Two texts, ab|cd and e|f, in one row, and two places of padding: what is to be said stands one place before in y."""
    x = {"input_ids": torch.tensor([[0, 1, 2, 4, 25, 25]]), "position_ids": torch.tensor([[0, 1, 2, 0, 0, 1]])}
    told = lm._told(Reader(Letters()), x, [-1, 2, 3, 5, -1, -1], {1: 0.1, 2: 0.2, 3: 0.3})
    assert [(w.text, w.apart) for w in told] == [("a", None), ("b", None), ("c", 0.1), ("d", 0.2), ("e", None), ("f", 0.3)]
    masked = lm._told(Reader(Letters(), "masked"), {"input_ids": torch.tensor([[9, 1]])}, [0, -1], {0: 0.5})
    assert [(w.text, w.apart) for w in masked] == [("a", 0.5)]


def shown(f: Spoken) -> str:
    console = Console(file=io.StringIO(), width=250)
    console.print(summary(f))
    return console.file.getvalue()


def test_the_terminals_lines():
    lines = shown(make()).splitlines()
    assert " ".join(lines[0].split()) == "teacher perplexity 10.00 400 parameters 1.6 kB 500 tokens/s"
    assert lines[3].startswith(
        "✔ perplexity 12.50 against the teacher's 10.00 in 25.0 % of its size, 2.0x faster · agreement 81.2 %"
    )


def test_the_card_is_what_the_hub_reads():
    f = make()
    front = yaml.safe_load(spoken_card(f, "apache-2.0").split("---")[1])
    assert (front["license"], front["library_name"], front["pipeline_tag"]) == ("apache-2.0", "transformers", "text-generation")
    assert front["tags"] == ["understudy", "knowledge-distillation", "kd"]
    assert "| teacher: hf:t | 10.00 | 400 | 1.6 kB | 500 |" in spoken_card(f)
    hub = pytest.importorskip("huggingface_hub")
    result = {r.metric_type: r for r in hub.ModelCard(spoken_card(f)).data.eval_results}
    assert result["perplexity"].metric_value == 12.5
    assert result["accuracy"].metric_value == 0.61
    for kind in ("causal", "masked", "seq2seq"):
        for snippet in re.findall(r"```python\n(.*?)```", spoken_card(make(kind=kind)), flags=re.S):
            compile(snippet, "card", "exec")


def test_it_is_plain_data():
    told = json.loads(make().to_json())
    assert told["heard"]["student"]["bins"][0]["rows"] == 1
    assert told["words"][0][0] == {"text": "def", "apart": None}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (1.234, "1.23"), (123.4, "123.4"), (12_345.6, "12,346"), (1e300, "1.0e+300"), (math.nan, "nan")],
)
def test_perplexity_in_words(value, text):
    assert spoken.perplexity(value) == text
