// Runs side by side: what was measured, what was asked for, and the learning curves over one another.

import { address, watched } from "./api.js";
import { colour, curves } from "./charts.js";
import { deeds, stateOf } from "./table.js";
import { KINDS, el, setting } from "./words.js";

const FILES = ["config.toml", "student.onnx", "student.safetensors"];
const LESS = /perplexity|error|nll|rmse|mse|mae|loss|KL |parameters|size|time|trained/; // of these less is better

const PHASES = { student: "student", alone: "student without a teacher", teacher: "teacher" };

export class Compare {
  constructor(root, act) {
    Object.assign(this, { root, act, ask: watched(), names: [], found: null, phase: "student", log: false, all: false, plots: new Map() });
  }

  async show(names, now, force = false) {
    const others = names.join("\n") !== this.names.join("\n");
    this.names = names;
    if (!names.length) { this.found = null; this.root.replaceChildren(el("p", { class: "card none" }, "Choose two or more runs in the table, then Compare. A run's name opens it alone.")); return; }
    const found = await this.ask(`/api/beside?${names.map(n => `run=${encodeURIComponent(n)}`).join("&")}`);
    if (this.names !== names) return; // somebody was faster
    if (found) this.found = found;
    if (this.found && (found || others || force)) this.draw(now, others);
  }

  draw(now, others) {
    const { runs, measures, settings, curves: lines } = this.found, held = document.activeElement?.dataset?.key && this.root.contains(document.activeElement) ? [document.activeElement.dataset.of, document.activeElement.dataset.key] : null;
    const phases = Object.keys(PHASES).filter(p => lines.some(l => l[p]));
    if (!phases.includes(this.phase)) this.phase = phases[0] ?? "student";
    if (others || !this.frame) {
      this.frame = { cast: el("div", { class: "cast" }), measured: el("div"), asked: el("div"), choices: el("div", { class: "choices" }), figures: el("div", { class: "curves" }) };
      this.plots.clear();
      const section = (title, ...kids) => el("section", { class: "card" }, el("h2", {}, title), ...kids);
      this.root.replaceChildren(this.frame.cast, section("Learning", this.frame.choices, this.frame.figures), section("Measured on the test rows", this.frame.measured),
        section(runs.length > 1 ? "Settings that differ" : "Settings", this.frame.asked));
    }
    this.frame.cast.replaceChildren(...runs.map((run, i) => el("div", { style: `--of: ${colour(i)}` }, el("b", {}, run.id), el("span", { class: "small" }, `${run.student} learns from ${run.teacher} by ${run.method}, on ${run.data}`),
      el("div", {}, ...stateOf(run, now)),
      el("div", { class: "act" }, ...deeds(run, this.act), ...FILES.slice(0, run.state === "finished" && run.task !== "lm" ? 3 : 1).map(f => el("a", { href: address(run.id, `files/${f}`), download: "", class: "small" }, f))))));
    this.frame.measured.replaceChildren(this.table(runs, measures.map(m => [m.name, m.values.map(KINDS[m.kind] ?? setting), top(m)]), ""));
    this.frame.measured.parentElement.hidden = !measures.length; // it is measured when a run is finished
    const differing = runs.length > 1 ? settings.filter(s => s.differs) : settings, same = settings.filter(s => !differing.includes(s)), rows = list => list.map(s => [s.name, s.values.map(setting), null]);
    this.frame.asked.replaceChildren(this.table(runs, rows(differing), "None: the runs were asked for the same."),
      same.length ? el("details", { open: this.all, ontoggle: e => { this.all = e.target.open; } }, el("summary", { "data-key": "same", "data-of": "" }, `${same.length} settings that are the same`), this.table(runs, rows(same), "")) : "");
    this.choices(phases);
    this.charts(runs, lines);
    if (held) [...this.root.querySelectorAll("[data-key]")].find(e => (e.dataset.of ?? "") === (held[0] ?? "") && e.dataset.key === held[1])?.focus();
  }

  table(runs, rows, none) {
    if (!rows.length) return el("p", { class: "small" }, none);
    if (runs.length === 1) return el("dl", { class: "sheet" }, ...rows.map(([name, values]) => el("div", {}, el("dt", {}, name), el("dd", {}, values[0]))));
    const head = el("tr", {}, el("th", { scope: "col" }, ""), ...runs.map((r, i) => el("th", { scope: "col" }, el("span", { class: "swatch", style: `--of: ${colour(i)}` }), r.id)));
    return el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table, scrolls sideways" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows.map(([name, values, best]) =>
      el("tr", {}, el("th", { scope: "row" }, name), ...values.map((v, i) => el("td", { class: best?.includes(i) ? "top" : null, title: best?.includes(i) ? "the best of these" : null }, v)))))));
  }

  choices(phases) {
    const phase = el("select", { id: "phase", "data-key": "phase", onchange: e => { this.phase = e.target.value; this.charts(this.found.runs, this.found.curves); } }, ...phases.map(p => el("option", { value: p, selected: p === this.phase }, PHASES[p])));
    const log = el("input", { type: "checkbox", id: "log", "data-key": "log", checked: this.log, onchange: e => { this.log = e.target.checked; this.charts(this.found.runs, this.found.curves); } });
    this.frame.choices.replaceChildren(el("div", { class: "field" }, el("label", { for: "phase" }, "Of the"), phase), el("div", { class: "check" }, log, el("label", { for: "log" }, "losses on a logarithmic scale")));
    this.frame.choices.hidden = !phases.length;
  }

  charts(runs, lines) {
    const names = [...new Set(lines.flatMap(l => Object.keys(l[this.phase] ?? {})))].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
    for (const [name, { figure }] of this.plots) if (!names.includes(name)) { figure.remove(); this.plots.delete(name); }
    if (!names.length) { this.frame.figures.replaceChildren(el("p", { class: "small" }, "No points yet.")); this.plots.clear(); return; }
    this.frame.figures.querySelectorAll(":scope > p").forEach(p => p.remove());
    for (const name of names) {
      if (!this.plots.has(name)) {
        const div = el("div", { class: "plot", role: "img", "aria-label": name }), figure = el("figure", {}, el("h3", {}, titled(name)), div);
        this.plots.set(name, { div, figure });
      }
      const { div, figure } = this.plots.get(name);
      this.frame.figures.append(figure);
      const own = lines.map((l, i) => ({ name: runs[i].id, i, points: l[this.phase]?.[name] })).filter(l => l.points?.[0].length);
      const values = own.flatMap(l => l.points[1]), log = this.log && name !== "valid" && values.every(v => v > 0);
      curves(div, own, { name, log, perCent: name === "valid" && runs.every(r => r.task !== "lm" && r.task !== "regress") && values.every(v => v >= 0 && v <= 1) }).catch(e => div.replaceChildren(e.message));
    }
  }
}

// The score first, then the terms of the loss, then whatever else was written down.
const rank = name => (name === "valid" ? 0 : name.startsWith("loss/") ? 1 : 2);
const titled = name => (name === "valid" ? "score on the validation rows" : name.replace(/^grad\//, "gradient norm/").replace("/", ": "));

// Which columns hold the best value, where the best can be told.
function top({ name, values }) {
  const there = values.filter(v => v !== null);
  if (there.length < 2 || /teacher's|of the teacher$|without/.test(name) && !/^kept|^agreement/.test(name)) return null;
  const best = LESS.test(name) ? Math.min(...there) : Math.max(...there);
  return there.every(v => v === best) ? null : values.flatMap((v, i) => (v === best ? [i] : []));
}
