"""The pages in a browser: a phone's width is enough, paper is light, what is hovered has words, nothing is asked of the network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.test_report import make, regression
from integration.test_spoken_report import make as spoken
from understudy.report.earlier import Earlier
from understudy.report.findings import Timing
from understudy.report.html import render
from understudy.report.spoken_page import render as render_spoken

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
TIMES = (Timing("PyTorch", 1, 0.0712, 0.0701, 0.0799, 50), Timing("PyTorch", 64, 12.5, 11.25, 13.75, 40))
LONG = "a-student-with-a-very-long-name?width=3&depth=12"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield b
        b.close()


def page(name: str) -> str:
    import dataclasses

    f = make()
    student = dataclasses.replace(f.student, name=LONG, timings=TIMES, flops=12_345)
    before = [Earlier(f"run-{i}", f"method-{i}", "tiny", 0.9 + i / 200, 20_000 + 5000 * i, 0.1) for i in range(12)]
    whole = dataclasses.replace(
        f, student=student, earlier=before, files={"student.safetensors": 30_000}, origin={"student weights": "0f" * 16}
    )
    pages = {"classes": lambda: render(whole), "numbers": lambda: render(regression()), "spoken": lambda: render_spoken(spoken())}
    return pages[name]()


@pytest.mark.parametrize("name", ["classes", "numbers", "spoken"])
def test_a_phone_is_wide_enough_and_nothing_is_fetched(name: str, browser: Any, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page(name))
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)
        shown, asked = context.new_page(), []
        shown.on("request", lambda r, asked=asked: asked.append(r.url))
        shown.goto((tmp_path / "report.html").as_uri())
        assert shown.evaluate("document.documentElement.scrollWidth") <= 390
        shown.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert shown.evaluate("document.documentElement.scrollWidth") <= 390  # wide tables scroll in their own place
        assert [u for u in asked if not u.startswith(("file:", "data:"))] == []
        assert shown.evaluate("[...document.querySelectorAll('[role=img]')].every(f => f.getAttribute('aria-label').length > 20)")
        context.close()


def test_paper_is_light_and_dots_have_words(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page("classes"))
    context = browser.new_context(color_scheme="dark")
    shown = context.new_page()
    shown.goto((tmp_path / "report.html").as_uri())
    ink = "getComputedStyle(document.body).color"
    dark = shown.evaluate(ink)
    shown.emulate_media(media="print")
    assert shown.evaluate(ink) == "rgb(28, 37, 48)" != dark
    titles = shown.evaluate("[...document.querySelectorAll('svg title')].map(t => t.textContent)")
    assert any(t.startswith("method-3 91.5 %") and "run-3" in t for t in titles)
    assert shown.pdf(format="A4").startswith(b"%PDF")
    context.close()
