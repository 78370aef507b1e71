"""Whatever a label, a text, a file or a run is called: on every page it is read, and nothing of it is run, fetched or obeyed."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.test_report import make, regression
from integration.test_report_rehearsal import done
from integration.test_spoken_report import heard
from integration.test_spoken_report import make as spoken
from understudy.report import rehearsed
from understudy.report.card import model_card, spoken_card
from understudy.report.earlier import Earlier
from understudy.report.findings import Measured, Recipe, Rows
from understudy.report.html import render
from understudy.report.page import paper_url
from understudy.report.spoken import Continuation, Said, Word
from understudy.report.spoken_page import render as render_spoken

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
FAR = "http://198.51.100.1"  # an address of documentation: whoever asks it is seen
HOSTILE = (
    "<script>window.canary=1</script>",
    '"><img src=x onerror="window.canary=1">',
    "'><svg onload='window.canary=1'>",
    "</script><script>window.canary=1;//",
    "</style></title></textarea><script>window.canary=1</script>",
    "--><script>window.canary=1</script><!--",
    "]]><script>window.canary=1</script>",
    "javascript:window.canary=1//",
    f"<meta http-equiv=refresh content='0;url={FAR}'>",
    f"<link rel=stylesheet href={FAR}/x.css>",
    f"<iframe src='{FAR}'></iframe><base href='{FAR}'>",
    f"![x]({FAR}/x.png) [y](javascript:alert(1))",
    f"url({FAR}/x.png); background: url({FAR}/y.png)",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "&lt;b&gt; &amp;lt; <b>bold</b>",
    "#0072b2 'DejaVu Sans' $\\frac{1}{2}$",
    "\u202egnp.exe\u202c \u2066x\u2069",
)


def hostile() -> Any:
    """Findings in which every word that can come from outside is one of these."""
    f, h = make(), HOSTILE
    rows = Rows(h[0], {h[1]: 900, "test": 80}, (h[2], h[3], h[4], h[5]), (h[6],))
    worst = lambda name, m: dataclasses.replace(m, name=name, metrics={h[7]: 0.5, h[1]: 2.0} | dict(m.metrics))
    return dataclasses.replace(
        f, title=h[0], data=rows, teacher=worst(h[1], f.teacher), student=worst(h[3], f.student), alone=worst(h[4], f.alone), metric=h[10],
        method=Recipe(h[11], "\n".join(h), h[7], {"name": "kd", h[12]: h[13], h[14]: h[15]}), command=h[8], environment={h[9]: h[0], "machine": h[11]},
        origin={h[5]: h[6]}, files={h[3]: 30}, x=[h[i % len(h)] for i in range(80)], earlier=[Earlier(h[i], h[-i], h[i], 0.9, 10_000 * (i + 1), 0.1) for i in range(5)],
        history=[{"step": i, f"loss/{h[0]}": 1.0 / i, f"loss/{h[2]}": 2.0 / i, f"grad/{h[1]}": 1.0, f"grad/{h[15]}": 2.0, "valid": 0.5} for i in range(1, 9)],
    )  # fmt: skip


def hostile_numbers() -> Any:
    return dataclasses.replace(
        regression(), title=HOSTILE[1], data=Rows(HOSTILE[0], {"train": 900, "test": 80}, (), tuple(HOSTILE))
    )


def hostile_words() -> Any:
    h = HOSTILE
    return spoken(
        title=h[0], method=h[1], equation="\n".join(h), paper=h[7], config={"name": "kd", h[2]: h[3]}, signal=h[4], data=h[5], rows={h[6]: 9, "test": 9},
        heard={"teacher": heard(h[8], 2.0, 400), "student": heard(h[9], 2.5), "alone": heard(h[10], 3.0)},
        samples=[Said(a, b, (Continuation("student", b), Continuation("teacher", a))) for a, b in itertools.pairwise(h)],
        words=[tuple(Word(w, i / 4) for i, w in enumerate(h))], command=h[11], environment={h[12]: h[13]}, settings={h[14]: h[15]},
        history=[{"step": i, f"loss/{h[0]}": 1.0 / i, f"loss/{h[3]}": 2.0} for i in range(1, 9)],
    )  # fmt: skip


def rehearsal() -> str:
    r = done("alp-gmm", steps=2)
    return rehearsed.render({HOSTILE[0]: dataclasses.replace(r, world=HOSTILE[1]), HOSTILE[2]: r}, HOSTILE[3])


PAGES: dict[str, tuple[Callable[[], str], tuple[str, ...]]] = {
    "classes": (lambda: render(hostile()), HOSTILE),
    "numbers": (lambda: render(hostile_numbers()), HOSTILE[:2]),
    "spoken": (lambda: render_spoken(hostile_words()), HOSTILE[:-1]),  # there, what can't be seen is marked
    "rehearsal": (rehearsal, HOSTILE[:4]),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield b
        b.close()


class Watched:
    """A page, and all that happened on it that should not."""

    def __init__(self, browser: Any, own: str) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 900})
        self.page, self.wrong = self.context.new_page(), list[str]()
        self.context.on(
            "request", lambda r: None if r.url.startswith((own, "data:", "blob:")) else self.wrong.append(f"asked {r.url}")
        )
        self.page.on("dialog", lambda d: self.wrong.append(f"a dialog: {d.message}") or d.dismiss())
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.page.on("popup", lambda p: self.wrong.append(f"a window: {p.url}"))

    def check(self) -> None:
        assert self.page.evaluate("window.canary") is None
        assert (
            self.page.evaluate(
                "document.querySelectorAll('iframe, base, link[href^=http], meta[http-equiv], object, embed').length"
            )
            == 0
        )
        assert (
            self.page.evaluate(
                "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).filter(a => a.name.startsWith('on')).length"
            )
            == 0
        )
        assert self.page.evaluate(
            "[...document.querySelectorAll('a')].every(a => /^(https:\\/\\/(arxiv|doi)\\.org\\/|#|http:\\/\\/127\\.0\\.0\\.1|\\/)/.test(a.getAttribute('href')))"
        )
        assert self.wrong == []


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", PAGES)
def test_a_report_shows_every_word_and_obeys_none(name: str, browser: Any, tmp_path: Path) -> None:
    make_page, shown = PAGES[name]
    path = tmp_path / "report.html"
    path.write_text(make_page())
    seen = Watched(browser, path.as_uri())
    seen.page.goto(path.as_uri())
    seen.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    seen.check()
    assert seen.page.evaluate("document.scripts.length") == 0
    text = flat(seen.page.evaluate("document.body.textContent"))
    assert [h for h in shown if flat(h) not in text] == [], "words are shown as they are"
    seen.page.set_viewport_size({"width": 390, "height": 844})
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    seen.context.close()


def test_the_browser_would_have_told(browser: Any, tmp_path: Path) -> None:
    """The same page, unescaped."""
    import html

    for word, told in (
        (HOSTILE[0], "canary"),
        (HOSTILE[1], "canary"),
        (HOSTILE[9], FAR),
        ("<img src=" + FAR + "/x.png>", FAR),
    ):
        path = tmp_path / "report.html"
        path.write_text(
            render(make(title=word))
            .replace(str(html.escape(word)), word)
            .replace(html.escape(word).replace("&quot;", "&#34;"), word)
        )
        seen = Watched(browser, path.as_uri())
        seen.page.goto(path.as_uri(), wait_until="commit")
        seen.page.wait_for_timeout(100)
        assert (told == "canary" and seen.page.evaluate("window.canary") == 1) or any(told in w for w in seen.wrong), word
        seen.context.close()


def test_writing_that_is_turned_around_stays_in_its_place(browser: Any, tmp_path: Path) -> None:
    """A label with U+202E doesn't turn what stands beside it."""
    path = tmp_path / "report.html"
    f = make()
    path.write_text(render(dataclasses.replace(f, data=dataclasses.replace(f.data, classes=("\u202ea", "\u202eb", "c", "d")))))
    seen = Watched(browser, path.as_uri())
    seen.page.goto(path.as_uri())
    assert seen.page.evaluate(
        "[...document.querySelectorAll('.parted b, td, dd, .says span')].every(e => getComputedStyle(e).unicodeBidi === 'isolate')"
    )
    seen.context.close()


# the model card ------------------------------------------------------------------------------------------------------------------


CARDS: dict[str, Callable[[], str]] = {"classes": lambda: model_card(hostile()), "spoken": lambda: spoken_card(hostile_words()), "hub": lambda: model_card(hostile(), transformers=True)}  # fmt: skip
BREAKS = ("x\n---\ntags: [evil]\n---\n", "a: b\n- c", "---", "\n```\n<script>window.canary=1</script>\n```", "`<img src=x onerror=window.canary=1>`", "</pre>", "| a | b |\n|---|---|", "# Title\n\n![x](" + FAR + "/x.png)",
          "[x]: " + FAR, f"<{FAR}>", "*/ --> {: onclick=x}", "\x1b]0;x\x07", "\x00")  # fmt: skip


def markdown(card: str) -> str:
    """As a hub renders it, but with HTML allowed through."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(card.split("---\n", 2)[2]))


@pytest.mark.parametrize("name", CARDS)
def test_a_model_card_shows_every_word_and_obeys_none(name: str, browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("markdown_it")
    card = CARDS[name]()
    front = yaml.safe_load(card.split("---\n")[1])
    assert set(front) <= {"license", "library_name", "pipeline_tag", "tags", "metrics", "model-index"}
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f]", card)
    path = tmp_path / "card.html"
    path.write_text("<!doctype html><meta charset=utf-8><body>" + markdown(card))
    seen = Watched(browser, path.as_uri())
    seen.page.goto(path.as_uri())
    seen.check()
    assert seen.page.evaluate("document.images.length + document.scripts.length") == 0
    text = flat(seen.page.evaluate("document.body.textContent"))
    for h in (
        (HOSTILE[0], HOSTILE[1], HOSTILE[3], HOSTILE[8], HOSTILE[11])
        if name != "spoken"
        else (HOSTILE[1], HOSTILE[5], HOSTILE[8], HOSTILE[9], HOSTILE[11])
    ):
        assert flat(h) in text, h
    seen.context.close()


@pytest.mark.parametrize("word", BREAKS)
def test_no_word_breaks_out_of_its_place(word: str) -> None:
    pytest.importorskip("markdown_it")
    plain = make(title="t")
    given: dict[str, Any] = dict(  # noqa: C408
        title=word, command=word, x=[word] * 80, environment={"machine": word},
        data=Rows(word, {word: 9, "test": 80}, (word, "b", "c", "d")), teacher=Measured(word, 0.9, {}, 9, 9, 1.0), student=Measured(word, 0.9, {word: 0.5}, 9, 9, 1.0),
        method=Recipe(word, word, word, {"name": "kd", word: word}),
    )  # fmt: skip
    card, usual = model_card(make(**given)), model_card(plain)
    front, usual_front = (yaml.safe_load(c.split("---\n")[1]) for c in (card, usual))
    assert list(front) == list(usual_front)
    assert front["tags"][:2] == ["understudy", "knowledge-distillation"] and len(front["tags"]) == 3
    shape = lambda c: re.findall(r"<(/?(?:h[1-6]|table|tr|ul|li|pre|img|script|a|hr|strong))\b", markdown(c))
    without = lambda c: [t for t in shape(c) if t.strip("/") != "a"]
    assert without(card) == without(usual), "as many headings, tables and blocks as with plain words"
    assert "javascript:" not in "".join(re.findall(r'(?:href|src)="([^"]*)"', markdown(card)))
    assert not re.search(r"<(img|script|iframe)\b", markdown(card))


def test_a_papers_address_stays_one() -> None:
    assert paper_url("arXiv:1503.02531") == "https://arxiv.org/abs/1503.02531"
    assert paper_url("doi:10.1162/neco.1991.3.1.79") == "https://doi.org/10.1162/neco.1991.3.1.79"
    for paper in (f"arXiv:1) ![x]({FAR}/x.png", 'doi:1"><script>', "arXiv:1\n\n# x", "arXiv:<b>"):
        assert re.fullmatch(r"https://(arxiv|doi)\.org/[\w/:;.%-]+", paper_url(paper) or "")
    assert paper_url("javascript:alert(1)") is None


# the board -----------------------------------------------------------------------------------------------------------------------


def test_the_board_shows_every_word_and_obeys_none(browser: Any, tmp_path: Path) -> None:
    for library in ("fastapi", "uvicorn", "plotly", "psutil"):
        pytest.importorskip(library)
    import uvicorn

    from integration.test_board import fake, until
    from understudy.board import server

    folder = tmp_path / "<b>runs" / '"><img src=x onerror=window.canary=1>'
    files = [h.replace("/", "∕") for h in HOSTILE]
    for i, (name, word) in enumerate(zip(files, HOSTILE)):
        run = fake(
            folder, name[:100], method=word, data=HOSTILE[-1 - i], state="failed" if i % 2 else "finished", error=word, phase=word
        )
        kept = json.loads((run / "config.json").read_text())
        kept["config"] |= {"teacher": word, "student": HOSTILE[i - 1], word: word}
        (run / "config.json").write_text(json.dumps(kept))
        with (run / "metrics.jsonl").open("a") as f:
            f.write("".join(json.dumps({"phase": "student", "step": s, f"loss/{word}": 1.0, word: 2.0}) + "\n" for s in (1, 2)))
        if (run / "findings.json").exists():
            found = json.loads((run / "findings.json").read_text())
            (run / "findings.json").write_text(json.dumps(found | {"metric": word, "task": word}))
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(server.create_app(folder, key="k"), log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [s]})
    thread.start()
    try:
        until(lambda: running.started, 30)
        own = f"http://127.0.0.1:{s.getsockname()[1]}/"
        seen = Watched(browser, own)
        page = seen.page
        page.goto(f"{own}?key=k")
        page.wait_for_selector("main[data-ready]")
        text = flat(page.evaluate("document.body.textContent"))
        assert [h for h in HOSTILE if flat(h) not in text] == []
        seen.check()
        for view in (
            "#/frontier",
            "#/compare?" + "&".join(f"run={page.evaluate('encodeURIComponent', n[:100])}" for n in files[:4]),
        ):
            page.goto(own + view)
            until(lambda: page.evaluate("document.querySelectorAll('.js-plotly-plot').length > 0"), 60)
            page.wait_for_timeout(100)
            seen.check()
        text = flat(page.evaluate("document.body.textContent"))
        assert [h for h in HOSTILE[:4] if flat(h) not in text] == []
        seen.context.close()
    finally:
        running.should_exit = True
        thread.join()
