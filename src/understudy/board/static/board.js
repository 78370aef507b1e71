// The page: what there is, what is looked at, and what is heard of it.

import { post, watched } from "./api.js";
import { costs, frontier, undominated, whenThemeChanges, worth } from "./charts.js";
import { Compare } from "./compare.js";
import { Start } from "./start.js";
import { COLUMNS, LIVE, Table, facets, filtered, sorted } from "./table.js";
import { el } from "./words.js";

const byId = id => document.getElementById(id);
const QUICK = 1000, SLOW = 3000; // milliseconds between looks, while something trains and while nothing does
const VIEWS = ["runs", "frontier", "compare"];
const DEFAULTS = { q: "", state: "", method: "", data: "", task: "", sort: "began", down: true, page: 0 };
const SELECTS = Object.fromEntries(["state", "method", "data", "task"].map(name => [name, byId(`f-${name}`)]));

const runs = new Map(), chosen = new Set();
const ask = watched(true);
let view = { name: "runs", ...DEFAULTS, names: [] };
let epoch = "", version = 0, now = Date.now() / 1000, timer = 0, heard = false;

const table = new Table({ header: byId("runs").tHead.rows[0], body: byId("runs").tBodies[0] }, { act, choose });
const compare = new Compare(byId("view-compare"), act);
new Start(run => { say(`${run} is starting`); location.hash = "#/runs"; look().then(() => table.focus(run, "open")); });

// where we are: the address says it -----------------------------------------------------------------------------------------------

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?"), given = new URLSearchParams(query);
  view = { ...DEFAULTS, name: VIEWS.includes(path) ? path : "runs", names: given.getAll("run").slice(0, 12) };
  for (const key of ["q", "state", "method", "data", "task", "sort"]) if (given.has(key)) view[key] = given.get(key);
  if (given.has("up")) view.down = false;
  view.page = Math.max(0, (Number.parseInt(given.get("page"), 10) || 1) - 1);
}

function write(changes) {
  Object.assign(view, changes);
  const given = new URLSearchParams();
  for (const key of ["q", "state", "method", "data", "task"]) if (view[key]) given.set(key, view[key]);
  if (view.sort !== DEFAULTS.sort) given.set("sort", view.sort);
  if (!view.down) given.set("up", "1");
  if (view.page) given.set("page", view.page + 1);
  for (const name of view.name === "compare" ? view.names : []) given.append("run", name);
  const query = given.toString();
  history.replaceState(null, "", `#/${view.name}${query ? `?${query}` : ""}`);
  draw();
}

// what is seen --------------------------------------------------------------------------------------------------------------------

const TITLES = { runs: "Runs", frontier: "Frontier", compare: "Compare" };

function draw(force = false) {
  const all = [...runs.values()], found = filtered(all, view);
  for (const name of VIEWS) byId(`view-${name}`).hidden = view.name !== name;
  for (const link of document.querySelectorAll("[data-view]")) link.dataset.view === view.name ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  byId("main").className = `wrap ${view.name}`;
  byId("filter").hidden = view.name === "compare";
  if (document.activeElement !== byId("q")) byId("q").value = view.q;
  facets(all, view, SELECTS);
  const busy = all.filter(run => LIVE.includes(run.state)).length, some = found.length < all.length ? `${found.length.toLocaleString("en")} of ${all.length.toLocaleString("en")}` : all.length.toLocaleString("en");
  byId("title").textContent = view.name === "runs" ? `${some} run${all.length === 1 ? "" : "s"}${busy ? `, ${busy} at work` : ""}` : view.name === "compare" && view.names.length === 1 ? view.names[0] : TITLES[view.name];
  if (view.name === "runs") drawTable(found);
  if (view.name === "frontier") drawFrontier(found);
  if (view.name === "compare") compare.show(view.names, now, force).catch(trouble);
  byId("chosen").hidden = !chosen.size || view.name === "compare";
  byId("count").textContent = `${chosen.size} chosen`;
  byId("compare").href = `#/compare?${[...chosen].map(name => `run=${encodeURIComponent(name)}`).join("&")}`;
  byId("compare").setAttribute("aria-disabled", String(chosen.size < 2));
}

function drawTable(found) {
  table.head(view, sort);
  const [page, pages] = table.show(sorted(found, view), view.page, chosen, now);
  view.page = page;
  byId("pages").hidden = pages < 2;
  byId("where").textContent = `page ${page + 1} of ${pages}`;
  byId("before").disabled = page === 0;
  byId("after").disabled = page === pages - 1;
  byId("runs").hidden = !found.length;
  byId("none").hidden = Boolean(found.length) || !heard;
  byId("none").textContent = runs.size ? "No run is like that: clear the filter." : "No runs yet: start one here, or with `understudy distill`.";
}

function drawFrontier(found) {
  const across = byId("across").value, up = byId("up").value, groups = new Map();
  for (const run of found) if (run.score !== null && run.score !== undefined) {
    const name = `${run.data} · ${run.metric}`;
    groups.set(name, [...(groups.get(name) ?? []), run]);
  }
  const names = [...groups.keys()].sort((a, b) => groups.get(b).length - groups.get(a).length), select = byId("group");
  const named = names.includes(select.value) ? select.value : names[0];
  select.replaceChildren(...names.map(n => el("option", { value: n, selected: n === named }, `${n} (${groups.get(n).length})`)));
  const own = (groups.get(named) ?? []).filter(run => run[across] > 0 && run[up] !== null && run[up] !== undefined), best = undominated(own, across, up), div = byId("plot-frontier");
  byId("best").replaceChildren(...(best.length ? best.map(run => el("li", {}, el("a", { href: `#/compare?run=${encodeURIComponent(run.id)}` }, run.id), el("span", {}, run.method), el("span", {}, worth(run, up)), el("span", {}, costs(run, across))))
    : [el("li", {}, "No finished run is among these.")]));
  div.hidden = !own.length;
  if (own.length) frontier(div, own, best, { across, up, chosen, open: name => { location.hash = `#/compare?run=${encodeURIComponent(name)}`; } }).catch(trouble);
}

function sort(key) {
  write(view.sort === key ? { down: !view.down, page: 0 } : { sort: key, down: Boolean(COLUMNS.find(c => c.key === key)?.number) && !["parameters", "bytes", "latency"].includes(key), page: 0 });
}

function choose(run, on) {
  on ? chosen.add(run.id) : chosen.delete(run.id);
  draw();
}

function say(text) { byId("said").textContent = text; }

function trouble(error) {
  byId("trouble").textContent = error ? error.message : "";
  byId("trouble").hidden = !error;
}

// what is done --------------------------------------------------------------------------------------------------------------------

const DONE = { stop: "stops after this step, with a checkpoint", resume: "goes on", dismiss: "is dismissed" };

async function act(verb, run) {
  try {
    await post(`/api/${verb}`, { run: run.id });
    trouble(null);
    say(`${run.id} ${DONE[verb]}`);
  } catch (e) { trouble(e); }
  await look();
}

// what is heard -------------------------------------------------------------------------------------------------------------------

async function look() {
  clearTimeout(timer);
  try {
    const found = await ask(`/api/runs?epoch=${epoch}&since=${version}`);
    if (byId("trouble").dataset.lost) { delete byId("trouble").dataset.lost; trouble(null); }
    if (found) take(found);
    heard = true;
    if (found || !byId("main").dataset.ready) draw(true);
    byId("main").dataset.ready = "yes";
  } catch (e) {
    trouble(e instanceof TypeError ? new Error("The board doesn't answer. Is `understudy board` still running?") : e);
    byId("trouble").dataset.lost = "yes";
  }
  clearTimeout(timer);
  const busy = [...runs.values()].some(run => LIVE.includes(run.state));
  if (!document.hidden) timer = setTimeout(look, busy ? QUICK : SLOW);
}

function take(found) {
  ({ epoch, version, now } = found);
  if (found.whole) for (const name of [...runs.keys()]) if (!found.runs.some(run => run.id === name)) runs.delete(name);
  for (const run of found.runs) {
    const before = runs.get(run.id);
    if (before && before.state !== run.state && !LIVE.includes(run.state)) say(`${run.id} is ${run.state}`);
    runs.set(run.id, run);
  }
  for (const name of found.gone) { runs.delete(name); chosen.delete(name); }
}

// -----------------------------------------------------------------------------------------------------------------------------------

byId("sort").replaceChildren(...COLUMNS.map(c => el("option", { value: c.key }, c.label)));
byId("sort").value = DEFAULTS.sort;
byId("sort").addEventListener("change", e => { view.sort = ""; sort(e.target.value); });
byId("q").addEventListener("input", e => write({ q: e.target.value, page: 0 }));
byId("filter").addEventListener("submit", e => e.preventDefault());
byId("filter").addEventListener("reset", () => write({ ...DEFAULTS, sort: view.sort, down: view.down }));
for (const [name, select] of Object.entries(SELECTS)) select.addEventListener("change", () => write({ [name]: select.value, page: 0 }));
for (const name of ["group", "across", "up"]) byId(name).addEventListener("change", () => draw());
byId("before").addEventListener("click", () => write({ page: view.page - 1 }));
byId("after").addEventListener("click", () => write({ page: view.page + 1 }));
byId("unchoose").addEventListener("click", () => { chosen.clear(); draw(); byId("main").focus(); });
document.addEventListener("keydown", e => {
  const typing = e.target.closest?.("input:not([type=checkbox]), textarea, select, dialog");
  if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey && !e.altKey) { e.preventDefault(); if (view.name === "compare") { location.hash = "#/runs"; read(); draw(); } byId("q").focus(); byId("q").select(); }
  if (e.key === "Escape" && e.target === byId("q")) { byId("q").value = ""; write({ q: "", page: 0 }); }
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
window.addEventListener("hashchange", () => { read(); draw(true); });
whenThemeChanges(() => draw(true));
read();
look();
