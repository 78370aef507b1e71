"""The page of one method."""

from __future__ import annotations

import ast
import difflib
import math
import statistics
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import figures
from pages.code import ROOT, SOURCE, defined
from pages.facts import Method, mark
from pages.markdown import block, cell, code, fold, paper, plain, prose, raw, table
from understudy.cli.show import OWN
from understudy.core.card import TAGS

DOCS = ROOT / "docs"


def page(m: Method, all_: Mapping[str, Method], cache: Path) -> str:
    idea, _, rest = m.doc.partition("\n\n")
    parts = [f"# {m.name}", f"[Methods](index.md) › [{m.family}](family-{m.family}.md)",
             f"*{cell(m.card.title)}* ({m.card.year}), {paper(m.card.paper)}", f"**{plain(' '.join(idea.split()))}**",
             *scene(m.stem, m.name), "## Equation", prose(rest, equations=True) or "None: see the code.",
             "## Proof", *proof(m, cache), "## Run it", *usage(m)]  # fmt: skip
    fields = [[code(f.name), code(f.default), cell(f.range), cell(f.about)] for f in m.fields]
    parts += ["## Fields", table(["field", "default", "range", "what it is"], fields) if fields else "None."]
    parts += ["## Card", table(["what", "value"], card(m, all_)), "## Parts", used(m)]
    lines = m.path.read_text().rstrip()
    parts += ["## Code", f"`{m.path.relative_to(ROOT)}`, {len(lines.splitlines())} lines", block(lines, "python")]
    parts += ["## Difference to the baseline", *difference(m, all_), "## Related methods", relatives(m, all_)]
    return "\n\n".join(parts)


def scene(stem: str, name: str) -> list[str]:
    """What a method does, drawn; and what the drawing shows."""
    picture = DOCS / "pictures" / "scenes" / f"{stem}.png"
    if not picture.is_file():
        return []
    about = ast.get_docstring(ast.parse((DOCS / "scenes" / f"{stem}.py").read_text())) or ""
    return [f"![What {name} does, drawn: the text below says what is seen](../../pictures/scenes/{stem}.png)", prose(about)]


def proof(m: Method, cache: Path) -> list[str]:
    """Of each proof the verdict in words, the picture, and the figures behind it."""
    if m.card.baseline is None:
        return ["Nothing is to be proved: it is what others are measured by."]
    if not m.proofs:
        return [f"None is committed yet. `understudy prove {m.name}` makes it."]
    return [part for found in m.proofs for part in evidence(m, found, cache)]


def evidence(m: Method, found: Mapping[str, Any], cache: Path) -> list[str]:
    strips, unit = figures.proof_strips(found)
    caption = ("Rings: differences of pairs, a seed each. Diamond and bar: their mean and its 95 % interval, filled where the interval lies above 0. "
               + ("A placebo is the method with the teacher's answers shuffled." if len(strips) > 1 else "It asks no teacher, so there is no placebo."))  # fmt: skip
    data = found.get("data", OWN)
    about = (f"{len(found['seeds'])} seeds, paired; {found['updates']:,} updates each; {found['metric']} of the world `{found['world']}`"
             + (f" on `{data}`" if data != OWN else "") + f"; {found['seconds']:,.0f} s; " + ", ".join(f"{k} {v}" for k, v in found["versions"].items()))  # fmt: skip
    return [f"{mark(found)} **{cell(found['verdict'])}**", raw(figures.figure(figures.drawn(strips, unit, cache), caption)),
            fold("Scores and settings", sides(m, found)), about + ".", f"Again: `{found['command']}`. [What a proof is](../../guide/proofs.md)."]  # fmt: skip


def sides(m: Method, found: Mapping[str, Any]) -> str:
    rows, unit = [], 100 if found.get("share", True) else 1
    for side, scores in found["scores"].items():
        picked = found["chosen"][side]
        settings = {k: v for k, v in picked["config"].items() if k != "name"} | (
            {"learning rate x": picked["rate"]} if picked["rate"] != 1 else {}
        )
        who = {"method": m.name, "baseline": f"baseline: {picked['config']['name']}", "placebo": f"{m.name}, answers shuffled"}[
            side
        ]
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        mean = f"{unit * statistics.mean(scores):.2f}" if unit == 100 else f"{statistics.mean(scores):.4g}"
        rows.append([cell(who), mean, f"{unit * spread:.2f}" if unit == 100 else f"{spread:.2g}",
                     " ".join(code(f"{k}={v}") for k, v in settings.items()) or "none"])  # fmt: skip
    return table(["side", "mean x 100" if unit == 100 else "mean", "spread", "chosen on the validation split"], rows)


def off(baseline: Mapping[str, Any], join: str = "&") -> str:
    return join.join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in baseline.items())


def usage(m: Method) -> list[str]:
    """How a user runs it: on rows of their own, or, where it asks for a kind of world, there."""
    use, base = m.name.replace("-", "_"), m.card.baseline
    lines, more = [], []
    if m.trains:
        lines.append(f"understudy distill --teacher digits --student tiny-cnn --data digits --method {m.name}")
        python = f"from understudy import distill, methods\n\nrun = distill(method=methods.{use}())"
        if base is not None:
            against = base if isinstance(base, str) else f"{m.name}?{off(base)}"
            lines.append(f"understudy compare --methods '{against},{m.name}' --world {m.card.world} --seeds 5")
    else:
        lines.append(f"understudy rehearse {m.name}" + (" --against" if base is not None else ""))
        python = f"from understudy import methods, rehearse\n\ndone = rehearse(methods.{use}())\nprint(done.run.world.metric, done.score)"
        more = ["It learns in a [world](../../guide/worlds.md) of its own kind."
                + (" On models of your own: [language models](../../guide/language.md)." if "lm" in m.card.tasks else "")]  # fmt: skip
    if base is not None:
        lines.append(f"understudy prove {m.name}")
    lines.append(f"understudy show {m.name}")
    return [*more, block("\n".join(lines), "sh"), block(python, "python")]


def card(m: Method, all_: Mapping[str, Method]) -> list[list[str]]:
    base = m.card.baseline
    against = (f"[{base}]({base}.md)" if isinstance(base, str) and base in all_ else
               code(f"{m.name}, {off(base, ', ')}") if isinstance(base, Mapping) else "none: others are measured by it")  # fmt: skip
    tags = "<br>".join(f"[{t}](tags.md#{t}): {cell(TAGS[t])}" for t in sorted(m.card.tags))
    return [["paper", paper(m.card.paper)], ["year", f"[{m.card.year}](years.md#year-{m.card.year})"], ["family", f"[{m.family}](family-{m.family}.md)"],
            ["tasks", ", ".join(f"[{t}](tasks.md#task-{t})" for t in m.card.tasks) or "[any](tasks.md#task-any)"],
            ["tags", tags or "none"], ["baseline", against], ["proved on", f"the world `{m.card.world}`"],
            ["forwards a step", f"at most {m.card.forwards}"], ["verbs it writes", ", ".join(map(code, m.verbs)) or "none"],
            *([["tuned by", "; ".join(f"`{k}` in " + ", ".join(map(str, v)) for k, v in m.card.tune.items())]] if m.card.tune else []),
            *([["seed row", code(m.card.slug)]] if m.card.slug else [])]  # fmt: skip


def used(m: Method) -> str:
    if not m.parts:
        return "None but the core."
    rows = []
    for module, names in sorted(m.parts.items()):
        public = {n.name for n in defined(f"understudy.parts.{module}")}
        shown = [f"[`{n}`](../parts/{module}.md#{anchor(module, n)})" if n in public else code(n) for n in names]
        rows.append([f"[{module}](../parts/{module}.md)", ", ".join(shown)])
    return table(["part", "what it takes from it"], rows)


def anchor(module: str, name: str) -> str:
    return f"part-{module}-{name}".lower().replace("_", "-")


def difference(m: Method, all_: Mapping[str, Method]) -> list[str]:
    """What changes against the baseline: a diff of two files, or the settings that switch the idea off."""
    base = m.card.baseline
    if base is None:
        return ["It has no baseline."]
    if isinstance(base, Mapping):
        defaults = {f.name: f.default for f in m.fields}
        rows = [[code(k), code(defaults.get(k, "")), code(v)] for k, v in base.items()]
        return ["The baseline is the same file with its idea switched off, so no line differs; these settings do.",
                table(["field", m.name, "baseline"], rows)]  # fmt: skip
    if base not in all_:
        return [f"The baseline, `{base}`, has no file of its own here."]
    other = all_[base]
    names = [str(p.relative_to(SOURCE)) for p in (other.path, m.path)]
    lines = difflib.unified_diff(other.path.read_text().splitlines(), m.path.read_text().splitlines(), *names, lineterm="", n=2)
    text = "\n".join(lines)
    signs = Counter(line[0] for line in text.splitlines()[2:] if line)
    return [
        f"Against [{base}]({base}.md): {signs['-']} lines go, {signs['+']} come.",
        fold("The diff", block(text, "diff")),
    ]


def relatives(m: Method, all_: Mapping[str, Method], most: int = 6) -> str:
    """Baseline and those measured by it first; then who shares most, what is rare counting more: parts, tags, tasks, family."""
    traits = {n: set(features(o)) for n, o in all_.items()}
    often = Counter(t for ts in traits.values() for t in ts)
    worth = {t: math.log(len(all_) / k) for t, k in often.items()}
    rated = []
    for other in all_.values():
        if other.name == m.name:
            continue
        shared = sorted(traits[m.name] & traits[other.name], key=lambda t: (-worth[t], t))
        close = "its baseline" if other.name == m.card.baseline else "measured by it" if other.card.baseline == m.name else ""
        rated.append((10.0 * bool(close) + sum(worth[t] for t in shared), other.name, close, shared))
    rows = []
    for rate, name, close, shared in sorted(rated, key=lambda r: (-r[0], r[1]))[:most]:
        if rate > 0:
            said = [
                *([close] if close else []),
                *(f"{kind} {code(what)}" for kind, _, what in (t.partition(":") for t in shared[:3])),
            ]
            rows.append([f"[{name}]({name}.md)", cell(all_[name].idea), ", ".join(said)])
    return table(["method", "idea", "what they share"], rows) if rows else "None."


def features(m: Method) -> list[str]:
    return [f"family:{m.family}", *(f"part:{p}.{n}" for p, names in m.parts.items() for n in names), *(f"task:{t}" for t in m.card.tasks),
            *(f"tag:{t}" for t in m.card.tags)]  # fmt: skip
