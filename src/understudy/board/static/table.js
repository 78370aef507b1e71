// The table of runs: filtered, sorted, a page at a time. A row is made anew only when its run changed, and focus stays where it was.

import { address } from "./api.js";
import { NOTHING, bytes, count, el, ms, scored, seconds, share, when } from "./words.js";

export const LIVE = ["running", "starting", "stopping"];
export const RESTS = ["stopped", "killed", "failed"];
const ROWS = 50; // a page

const nameOf = run => run.id;
export const COLUMNS = [
  { key: "id", label: "Run", of: nameOf },
  { key: "state", label: "State", of: run => run.state },
  { key: "method", label: "Method", of: run => run.method },
  { key: "data", label: "Data", of: run => run.data },
  { key: "score", label: "Score", of: run => run.score ?? run.valid ?? null, number: true },
  { key: "kept", label: "Kept", of: run => run.kept, number: true },
  { key: "parameters", label: "Parameters", of: run => run.parameters, number: true },
  { key: "bytes", label: "Size", of: run => run.bytes, number: true, cls: "size" },
  { key: "latency", label: "Latency", of: run => run.latency, number: true },
  { key: "began", label: "Begun", of: run => run.began, number: true },
];
const FACETS = ["state", "method", "data", "task"];

const haystack = run => (run.text ??= [run.id, run.state, run.method, run.data, run.task, run.teacher, run.student, run.error, run.host].join(" ").toLowerCase());

export function filtered(runs, view) {
  const words = view.q.toLowerCase().split(/\s+/).filter(Boolean);
  return runs.filter(run => FACETS.every(f => !view[f] || run[f] === view[f]) && words.every(w => haystack(run).includes(w)));
}

export function sorted(runs, view) {
  const of = (COLUMNS.find(c => c.key === view.sort) ?? COLUMNS.at(-1)).of, sign = view.down ? -1 : 1;
  return [...runs].sort((a, b) => {
    const [x, y] = [of(a) ?? null, of(b) ?? null];
    if (x === null || y === null) return (x === null) - (y === null) || b.began - a.began; // who has none comes last
    return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y) || b.began - a.began || a.id.localeCompare(b.id);
  });
}

// What can be chosen in the filter, and how many runs there are of each.
export function facets(runs, view, selects) {
  for (const name of FACETS) {
    const counts = new Map();
    for (const run of runs) if (run[name]) counts.set(run[name], (counts.get(run[name]) ?? 0) + 1);
    if (view[name] && !counts.has(view[name])) counts.set(view[name], 0);
    const options = [["", `all (${counts.size})`], ...[...counts].sort(([a], [b]) => a.localeCompare(b)).map(([v, n]) => [v, `${v} (${n})`])];
    const select = selects[name], made = JSON.stringify(options);
    if (select.dataset.made !== made && document.activeElement !== select) { // an open list isn't changed under the reader's eyes
      select.dataset.made = made;
      select.replaceChildren(...options.map(([value, label]) => el("option", { value }, label)));
    }
    select.value = view[name];
  }
}

export function left(run, now) {
  const done = run.step - (run.first ?? 0), spent = now - run.at;
  return run.state === "running" && done > 0 && spent > 0 && run.at && run.steps > run.step ? (spent / done) * (run.steps - run.step) : null;
}

export function stateOf(run, now) {
  const kids = [el("span", { class: `badge ${run.state}` }, run.state)];
  if (LIVE.includes(run.state) && run.steps) {
    const at = Math.max(run.step ?? 0, run.first ?? 0), remains = left(run, now);
    kids.push(el("progress", { max: run.steps, value: at, "aria-label": `${run.phase}, steps` }));
    kids.push(el("small", {}, `${run.phase} ${at.toLocaleString("en")} / ${run.steps.toLocaleString("en")}`, remains === null ? "" : ` · ${seconds(remains)} left`));
  } else if (RESTS.includes(run.state) && run.steps) {
    kids.push(el("small", {}, `${run.phase} ${(run.step ?? 0).toLocaleString("en")} / ${run.steps.toLocaleString("en")}`));
  }
  if (run.host) kids.push(el("small", {}, `on ${run.host}`));
  if (run.error) kids.push(el("small", { class: "error", title: run.error }, run.error));
  return kids;
}

// What can be done with a run. act(verb, run): 'stop', 'resume' or 'dismiss'.
export function deeds(run, act) {
  const kids = [], button = (verb, label, what) => el("button", { type: "button", "data-key": verb, "aria-label": `${what} ${run.id}`, onclick: () => act(verb, run) }, label);
  if (run.report) kids.push(el("a", { href: address(run.id, "report"), target: "_blank", rel: "noopener", "data-key": "report", "aria-label": `Report of ${run.id} (new tab)` }, "Report"));
  if (run.log) kids.push(el("a", { href: address(run.id, "output"), target: "_blank", rel: "noopener", "data-key": "log", "aria-label": `Output of ${run.id} (new tab)` }, "Output"));
  if (run.state === "stopping") kids.push(button("stop", "Stop now", "Stop now, without a checkpoint,"));
  else if (LIVE.includes(run.state) && !run.host) kids.push(button("stop", "Stop", "Stop"));
  if (RESTS.includes(run.state) && !run.objects?.length) kids.push(button("resume", "Go on", "Go on with"));
  if (run.state === "refused") kids.push(button("dismiss", "Dismiss", "Dismiss"));
  return kids;
}

export class Table {
  constructor(parts, { act, choose }) {
    Object.assign(this, parts, { act, choose });
    this.made = new Map(); // id -> { run, on, row }
    this.body.addEventListener("keydown", event => this.step(event));
  }

  head(view, sort) {
    const cells = COLUMNS.map(c => {
      const on = view.sort === c.key;
      return el("th", { scope: "col", class: `${c.number ? "n" : ""} ${c.cls ?? ""}`, "aria-sort": on ? (view.down ? "descending" : "ascending") : null },
        el("button", { type: "button", "data-sort": c.key, onclick: () => sort(c.key) }, c.label));
    });
    const held = this.header.contains(document.activeElement) ? document.activeElement.dataset.sort : null;
    this.header.replaceChildren(el("th", { scope: "col" }, el("span", { class: "hidden" }, "Choose")), ...cells, el("th", { scope: "col" }, el("span", { class: "hidden" }, "Actions")));
    if (held) this.header.querySelector(`[data-sort=${held}]`).focus();
  }

  // Show a page of these runs; returns how many pages there are.
  show(runs, page, chosen, now) {
    const pages = Math.max(1, Math.ceil(runs.length / ROWS)), at = Math.min(page, pages - 1);
    const shown = runs.slice(at * ROWS, (at + 1) * ROWS);
    const held = this.body.contains(document.activeElement) ? [document.activeElement.closest("tr").dataset.run, document.activeElement.dataset.key] : null;
    const rows = shown.map(run => {
      const on = chosen.has(run.id), kept = this.made.get(run.id);
      if (kept?.run === run && kept.on === on) return kept.row;
      const row = this.row(run, on, now);
      this.made.set(run.id, { run, on, row });
      return row;
    });
    rows.forEach((row, i) => { if (this.body.children[i] !== row) this.body.insertBefore(row, this.body.children[i] ?? null); });
    while (this.body.children.length > rows.length) this.body.lastElementChild.remove();
    if (held && !this.body.contains(document.activeElement)) this.focus(...held);
    for (const id of [...this.made.keys()]) if (this.made.size > 4 * ROWS && !shown.some(run => run.id === id)) this.made.delete(id);
    return [at, pages];
  }

  row(run, on, now) {
    const cell = (label, cls, ...kids) => el("td", { "data-label": label, class: cls }, ...kids);
    const figure = (label, text, small, cls = null, own = "") => cell(label, `n ${own} ${text === NOTHING ? "empty" : ""}`, text, small && text !== NOTHING ? el("small", { class: cls }, small) : null);
    const [day, time] = when(run.began);
    const shown = run.score !== null && run.score !== undefined
      ? figure(run.metric, scored(run, run.score), run.teacher_score === null ? null : `teacher ${scored(run, run.teacher_score)}`)
      : figure("Validation", run.valid === null || run.valid === undefined ? NOTHING : scored({ share: Math.abs(run.valid) <= 1 && run.task !== "lm" && run.task !== "regress" }, run.valid), "validation", "wide");
    return el("tr", { "data-run": run.id, class: on ? "on" : null },
      cell("", "pick", el("input", { type: "checkbox", checked: on, "data-key": "pick", "aria-label": `Choose ${run.id} to compare`, onchange: e => this.choose(run, e.target.checked) })),
      cell("Run", "run", el("a", { href: `#/compare?run=${encodeURIComponent(run.id)}`, "data-key": "open" }, run.id), el("small", {}, `${run.student || "student"} learns from ${run.teacher || "teacher"}`)),
      cell("State", "state", ...stateOf(run, now)),
      cell("Method", "what", run.method || NOTHING),
      cell("Data", "what", run.data || NOTHING, run.task ? el("small", {}, run.task) : null),
      shown,
      figure("Kept", share(run.kept)),
      figure("Parameters", count(run.parameters)),
      figure("Size", bytes(run.bytes), null, null, "size"),
      figure("Latency", ms(run.latency), run.latency ? `a ${run.per}` : null),
      cell("Begun", "n begun", `${day} `, el("small", {}, time)),
      cell("", "do", ...deeds(run, this.act)));
  }

  focus(id, key) {
    const row = [...this.body.children].find(r => r.dataset.run === id);
    (row?.querySelector(`[data-key="${key}"]`) ?? row?.querySelector("[data-key]"))?.focus();
  }

  step(event) {
    const way = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key], row = event.target.closest("tr");
    const next = way && row?.[way];
    if (!next || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.focus(next.dataset.run, event.target.dataset.key);
  }
}
