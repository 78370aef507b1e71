"""The catalogue: equations, evidence and commands that are right, lists told from the code, a site without dead links that works from a folder."""

from __future__ import annotations

import json
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "docs")] * (str(ROOT / "docs") not in sys.path)

import build  # noqa: E402
import links  # noqa: E402
from pages import commands, figures, methodpage  # noqa: E402
from pages.equations import Unsure, formula, rendered  # noqa: E402
from pages.facts import methods  # noqa: E402
from pages.readback import back  # noqa: E402
from pages.situations import SITUATIONS  # noqa: E402

from understudy.cli.show import read  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
FEW = frozenset({"dkd", "dmd2", "gkd", "minilm"})


# ------------------------------------------------------------------------------------------------------------------------- equations


def shape(text: str) -> str:
    """MathML as brackets: msub(x, i), for what may only be read one way."""

    def told(node: ET.Element) -> str:
        inside = [told(child) for child in node]
        if node.tag in ("math", "mrow"):
            return "".join(inside)
        if node.tag == "mspace":
            return ""
        return f"{node.tag[1:]}({','.join(inside)})" if len(node) else node.text or ""

    return told(ET.fromstring(formula(text))[0])


@pytest.mark.parametrize(
    ("text", "shaped"),
    [
        ("a_i", "sub(a,i)"),
        ("P^u_ij", "subsup(P,ij,u)"),
        ("w_{e+ahead}", "sub(w,e+ahead)"),
        ("u_i' M u_k", "subsup(u,i,′)Msub(u,k)"),
        ("a / ||a||_2", "frac(a,sub(‖a‖,2))"),
        ("(p + q) / 2", "frac(p+q,2)"),
        ("1 - m c / (b + c)", "1−frac(mc,b+c)"),
        ("w / N^2 sum_ij P_ij", "w/sup(N,2)under(∑,ij)sub(P,ij)"),  # over N^2, or over all of it: as it stands
        ("mean x / 2", "meanx/2"),
        ("a / b / c", "a/b/c"),
        ("softmax(u/t)_c", "sub(softmax(u/t),c)"),
        ("Q K^T / sqrt(d)", "frac(Qsup(K,T),sqrt(d))"),
        ("<f, e> / |h|", "frac(⟨f,e⟩,|h|)"),
        ("log s(y | y_<t)", "logs(y|sub(y,<t))"),
        ("E_q -log p", "sub(E,q)−logp"),
        ("alpha_n <= theta'", "sub(α,n)≤sup(θ,′)"),
        ("s'~ - t~", "sup(over(s,~),′)−over(t,~)"),
        ("(g . m)", "(g⋅m)"),
        ("d = width of a head", "d=widthofahead"),
    ],
)
def test_an_equation_has_the_shape_that_is_meant(text: str, shaped: str) -> None:
    assert shape(text) == shaped


@pytest.mark.parametrize("text", ["r_t+1 = 2", "(a + b", "a + b)", "|a - b", "d+)", "a_i_j", "x ? y", "2alpha", "x_", "p(y|z)"])
def test_what_is_not_surely_read_is_left_as_it_stands(text: str) -> None:
    with pytest.raises(Unsure):
        formula(text)


def test_an_equation_reads_back_and_a_changed_one_does_not() -> None:
    made = formula("L = a t^2 KL(u || s) + (1 - a) x / y")
    read = lambda html: "".join(map(back, ET.fromstring(html)))
    assert read(made) == "L=at^2KL(u||s)+(1-a)x/y"
    assert read(made.replace("<mn>2</mn>", "<mn>3</mn>")) != read(made) != read(made.replace("−", "+"))


def test_a_long_equation_is_broken_between_its_terms_alone() -> None:
    made = formula("L = CE(y, s) + alpha t^2 KL(softmax(u/t) || softmax(s/t)) - beta (a + b) / c")
    assert [back(m) for m in ET.fromstring(made)] == ["L=CE(y,s)", "+alphat^2KL(softmax(u/t)||softmax(s/t))", "-beta(a+b)/c"]
    made = formula("M_s(A) = [G G^T], G_c = sum_f w_fc A_f = x, w_fc = mean over places of dY_c")
    assert [back(m) for m in ET.fromstring(made)] == ["M_s(A)=[GG^T],", "G_c=sum_fw_fcA_f", "=x,", "w_fc=meanoverplacesofdY_c"]


def test_every_method_s_equation_is_rendered() -> None:
    left = []
    for m in methods().values():
        text = read(m.path).equation
        try:
            made = rendered(text) if text else ""
        except Unsure as e:
            left.append(f"{m.name}: {e}")
        else:
            assert "<math" in made, m.name
    assert not left, "equations that are shown as plain text; write them so that they read one way: " + "; ".join(left)


# -------------------------------------------------------------------------------------------------------------- evidence and commands


def test_the_picture_of_a_proof_has_a_ring_a_seed_and_its_interval(tmp_path: Path) -> None:
    found = json.loads((ROOT / "proofs" / "kd.json").read_text())
    strips, unit = figures.proof_strips(found)
    assert [len(s.values) for s in strips] == [10, 10] and unit == "points"
    assert strips[0].effect["mean"] == pytest.approx(sum(strips[0].values) / 10)
    svg = figures.drawn(strips, unit, tmp_path)
    assert svg == figures._draw(strips, unit), "the same proof is the same picture"
    assert "over the baseline: +5.63 ± 1.5" in svg and svg.count("<use ") >= 22 and "currentColor" in svg
    root = ET.fromstring(svg)
    assert "width" not in root.attrib and "viewBox" in root.attrib
    assert not [n for n in root.iter() if n.tag.endswith("metadata")]


def test_commands_are_read_as_the_command_line_reads_them() -> None:
    assert commands.fault("understudy distill --teacher digits --student tiny-cnn --data digits --method kd") == ""
    assert "rehears" in commands.fault("understudy rehears dmd2")
    assert "--methd" in commands.fault("understudy distill --methd kd")
    assert "kdd" in commands.fault("understudy distill --method kdd")
    assert commands.fault("understudy prove kd --seeds 1") != ""
    assert commands.shown("```sh\n$ understudy show kd  # x\nls\n```\nunderstudy no") == ["understudy show kd  # x"]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/tutorial.md"])
def test_commands_on_pages_by_hand_exist(page: str) -> None:
    assert [f for line in commands.shown((ROOT / page).read_text()) if (f := commands.fault(line))] == []


# ------------------------------------------------------------------------------------------------------------------------------ lists


@pytest.fixture(scope="module")
def all_() -> dict[str, Any]:
    return methods()


def test_every_method_fits_a_situation_and_the_plain_ones_where_they_must(all_: dict[str, Any]) -> None:
    fits = {s.key: {m.name for m in all_.values() if s.fits(m)} for s in SITUATIONS}
    assert not set(all_) - set().union(*fits.values())
    assert {"kd", "wav2small", "gkd", "llkd", "seqkd"} <= fits["no-labels"]
    assert not {"dkd", "crd", "fitnet", "psi-kt", "alone"} & fits["no-labels"]
    assert {"soft-teacher", "bcp", "kd"} <= fits["few-labels"] and not {"dkd", "ban"} & fits["few-labels"]
    assert "fitnet" not in fits["black-box"] and "kd" in fits["black-box"] and "alone" in fits["no-teacher"]
    assert all_["kd"].unlabelled == "a=1" and all_["ls-kd"].unlabelled == "h=0" and all_["fitnet"].unlabelled is None


def test_relatives_begin_with_the_baseline_and_name_what_is_shared(all_: dict[str, Any]) -> None:
    lines = methodpage.relatives(all_["dkd"], all_).splitlines()[2:]
    assert lines[0].startswith("| [kd](kd.md)") and "its baseline" in lines[0] and len(lines) == 6


def test_the_diff_is_that_of_the_two_files(all_: dict[str, Any]) -> None:
    text = "\n".join(methodpage.difference(all_["dkd"], all_))
    assert "-class KD(Method):" in text and "+class DKD(Method):" in text
    assert "switched off" in methodpage.difference(all_["dmd2"], all_)[0]


# ------------------------------------------------------------------------------------------------------------------------------ links


def test_every_kind_of_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<h1 id="top">x</h1><p id="top"></p><a href="other.html#here">a</a><a href="gone.html">b</a><a href="other.html#no">c</a><a href="../out.html">d</a>'
        '<a href="https://arxiv.org/abs/1">e</a><a href="https://nowhere">f</a><a href="htp://x.org">g</a><img src="no.png" alt="x"><img src="is.png">'
        '<script src="https://cdn.example.org/x.js"></script><a href="#top">h</a><a href="mailto:none">i</a>'
    )
    (tmp_path / "other.html").write_text('<p id="here"></p>')
    (tmp_path / "lost.html").write_text("")
    (tmp_path / "is.png").write_bytes(b"x")
    (tmp_path / "a.css").write_text('@import "https://fonts.example.org/x.css"; b { background: url(is.png) }')
    assert links.faults(tmp_path) == [
        "index.html: picture is.png has no alt text",
        "index.html: the identifier 'top' is given 2 times",
        "index.html: gone.html: there is no such file",
        "index.html: other.html#no: other.html has no 'no'",
        "index.html: ../out.html: leads out of the site",
        "index.html: https://nowhere: no address of a host",
        "index.html: htp://x.org: scheme 'htp'",
        "index.html: no.png: there is no such file",
        "index.html: https://cdn.example.org/x.js: is loaded from elsewhere",
        "index.html: mailto:none: no mail address",
        "a.css: loads https://fonts.example.org/x.css from elsewhere",
        "lost.html: no link leads here",
    ]


# ----------------------------------------------------------------------------------------------------------------------------- a site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site with a few of the methods."""
    to = tmp_path_factory.mktemp("docs")
    assert build.build(to, FEW) == 0
    return to / "site"


def test_a_second_build_writes_nothing_new_and_is_the_same(site: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kept = {p: p.read_bytes() for p in site.rglob("*") if p.suffix in (".html", ".js", ".svg", ".png")}
    stamps = {p: p.stat().st_mtime_ns for p in (site.parent / "source").rglob("*.md")}
    assert build.build(site.parent, FEW) == 0
    assert {p: p.read_bytes() for p in kept} == kept
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps


def test_a_method_s_page_has_all_of_it(site: Path) -> None:
    text = (site / "_generated" / "methods" / "dkd.html").read_text()
    for what in (
        "Equation",
        "Proof",
        "Run it",
        "Fields",
        "Card",
        "Parts",
        "Code",
        "Difference to the baseline",
        "Related methods",
    ):
        assert f">{what}<" in text, what
    assert "<math" in text and 'class="strips"' in text and "arxiv.org/abs/2203.08679" in text and "highlight-diff" in text
    assert "../parts/divergence.html#part-divergence-" in text and "pictures" not in text
    assert "../../_images/dmd2.png" in (site / "_generated" / "methods" / "dmd2.html").read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH")
    api = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    with api.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def test_search_works_from_a_folder(site: Path, browser: Any) -> None:
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(r.url))
    page.goto((site / "index.html").as_uri())
    for asked, first in (("dkd", "dkd"), ("jensen", "divergence")):
        page.fill("input[name=q]", asked)
        page.keyboard.press("Enter")
        page.wait_for_selector("#search-results li a")
        page.wait_for_function("document.querySelector('#search-results .search-summary').textContent.includes('finished')")
        assert first in [a.inner_text() for a in page.query_selector_all("#search-results li > a")][:3], asked
    page.close()
    assert wrong == []


@pytest.mark.parametrize("name", ["index", "_generated/methods/dkd", "_generated/methods/dmd2", "_generated/methods/have", "_generated/parts/index",
                                  "_generated/studies/teacher-hacking"])  # fmt: skip
def test_a_phone_shows_pages_without_scrolling_sideways(site: Path, browser: Any, name: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto((site / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_ticking_what_one_has_leaves_what_fits_all_of_it(site: Path, browser: Any) -> None:
    page = browser.new_page()
    page.goto((site / "_generated" / "methods" / "have.html").as_uri())
    rows = page.locator("form.have li")
    left = lambda: set(page.locator("form.have li:not([hidden]) a").all_inner_texts())
    assert left() == set()
    page.focus("input[value=black-box]")
    page.keyboard.press("Space")
    assert {"dmd2", "gkd", "kd", "dkd"} <= left() and not {"minilm"} & left()
    page.check("input[value=no-labels]")
    assert {"dmd2", "gkd", "kd"} <= left() and "dkd" not in left()
    page.check("input[value=stored]")
    assert "kd" in left() and not {"dmd2", "gkd", "minilm"} & left()
    assert page.inner_text("form.have [role=status]") == f"{len(left())} of {rows.count()} methods fit"
    page.close()


def test_equations_and_folds_can_be_reached_by_keyboard(site: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((site / "_generated" / "methods" / "dkd.html").as_uri())
    seen = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.tagName + '.' + document.activeElement.className"))
    assert "DIV.equation" in seen and "SUMMARY." in seen
    page.focus("summary")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('details').open")
    page.close()
