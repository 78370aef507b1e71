// Charts by Plotly, which is fetched from the board itself when the first one is drawn.

import { meta } from "./api.js";
import { bytes, count, ms, scored, share } from "./words.js";

let loading = null;
const plotly = () => (loading ??= new Promise((done, failed) => {
  const script = document.createElement("script");
  script.src = meta("plotly");
  script.onload = () => done(window.Plotly);
  script.onerror = () => { loading = null; failed(new Error("the chart library didn't load")); };
  document.head.append(script);
}));

const DARK = matchMedia("(prefers-color-scheme: dark)");
const COLOURS = { light: ["#0072b2", "#d55e00", "#008f68", "#b0518a", "#8a6a00", "#2b6f9e", "#7a3e9d", "#5b6670", "#c0392b", "#3f7f1f", "#a0522d", "#1c2530"],
                  dark: ["#58b0e8", "#f58a3c", "#3cc49a", "#dd9cc0", "#d9b04c", "#8fcdf2", "#c39be0", "#a0a7b0", "#ff8f84", "#9ccf6f", "#d9a27e", "#e8ebef"] };
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "pentagon", "hexagon", "triangle-down", "hourglass"];
export const colour = i => { const own = COLOURS[DARK.matches ? "dark" : "light"]; return own[i % own.length]; };
export const whenThemeChanges = f => DARK.addEventListener("change", f);

const plain = text => String(text).replace(/[<>&]/g, c => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;" })[c]); // Plotly reads some tags
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function layout(more) {
  const axis = { gridcolor: style("--line"), zerolinecolor: style("--line"), linecolor: style("--line"), automargin: true, ...more.axis };
  return { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: style("--ink"), family: getComputedStyle(document.body).fontFamily, size: 12.5 },
    margin: { l: 52, r: 12, t: 10, b: 40 }, hoverlabel: { bgcolor: style("--card"), bordercolor: style("--muted"), font: { color: style("--ink") } },
    showlegend: false, uirevision: more.revision, ...more.own, xaxis: { ...axis, ...more.x }, yaxis: { ...axis, ...more.y } };
}
const CONFIG = { displaylogo: false, responsive: true, displayModeBar: false };

// Lines of several runs. lines: [{ name, i, points: [steps, values] }]; log: of the upright axis.
export async function curves(div, lines, { name, log, perCent }) {
  const P = await plotly();
  const traces = lines.map(({ name, i, points }) => ({ type: "scatter", mode: points[0].length < 2 ? "markers" : "lines", name: plain(name), x: points[0], y: points[1],
    line: { color: colour(i), width: 2.2, dash: DASHES[i % DASHES.length] }, marker: { color: colour(i) }, hovertemplate: "%{y:.4~g}<extra>%{fullData.name}</extra>" }));
  const values = lines.flatMap(l => l.points[1]), [least, most] = [Math.min(...values), Math.max(...values)];
  const y = { type: log ? "log" : "linear", tickformat: perCent ? ".3~%" : "", ...(least === most && !log ? { range: [least - 0.1, most + 0.1] } : {}) };
  await P.react(div, traces, layout({ revision: name, own: { hovermode: "x", height: div.clientHeight }, x: { title: { text: "step" } }, y }), CONFIG);
  div.setAttribute("aria-label", `${name}: ${lines.map(l => `${l.name} ${l.points[1].at(-1).toPrecision(3)} at step ${l.points[0].at(-1)}`).join("; ")}`);
}

// Which of these runs nobody beats in both.
export function undominated(runs, across, up) {
  const sign = up === "score" && runs[0]?.down ? -1 : 1;
  const better = (a, b) => sign * a[up] >= sign * b[up] && a[across] <= b[across] && (a[up] !== b[up] || a[across] !== b[across]);
  return runs.filter(run => !runs.some(other => better(other, run))).sort((a, b) => a[across] - b[across]);
}

const UNITS = { parameters: count, bytes, latency: ms };
export const costs = (run, across) => `${UNITS[across](run[across])}${across === "latency" ? ` a ${run.per}` : across === "parameters" ? " parameters" : ""}`;
export const worth = (run, up) => (up === "kept" ? `kept ${share(run.kept)}` : `${run.metric} ${scored(run, run.score)}`);

export async function frontier(div, runs, best, { across, up, chosen, open }) {
  const P = await plotly(), traces = [], at = { parameters: "teacher_parameters", latency: "teacher_latency" }[across];
  const told = run => `<b>${plain(run.id)}</b><br>${plain(run.student)} · ${plain(worth(run, up))}<br>${plain(costs(run, across))}`;
  traces.push({ type: "scatter", mode: "lines", line: { color: style("--muted"), width: 1.5, dash: "dot", shape: "hv" }, x: best.map(r => r[across]), y: best.map(r => r[up]), hoverinfo: "skip", showlegend: false });
  [...new Set(runs.map(r => r.method))].sort().forEach((method, i) => {
    const own = runs.filter(r => r.method === method);
    traces.push({ type: "scatter", mode: "markers", name: plain(method), x: own.map(r => r[across]), y: own.map(r => r[up]), text: own.map(told), customdata: own.map(r => r.id), hovertemplate: "%{text}<extra></extra>",
      marker: { color: colour(i), symbol: SYMBOLS[i % SYMBOLS.length], size: own.map(r => (chosen.has(r.id) ? 16 : best.includes(r) ? 12 : 9)), opacity: own.map(r => (best.includes(r) || chosen.has(r.id) ? 1 : 0.6)), line: { width: own.map(r => (chosen.has(r.id) ? 3 : 1)), color: style("--card") } } });
  });
  const teachers = at ? [...new Map(runs.filter(r => r[at] && (up === "kept" || r.teacher_score !== null)).map(r => [`${r.teacher} ${r[at]}`, r])).values()] : [];
  if (teachers.length) traces.push({ type: "scatter", mode: "markers", name: "teacher", x: teachers.map(r => r[at]), y: teachers.map(r => (up === "kept" ? 1 : r.teacher_score)), text: teachers.map(r => `teacher <b>${plain(r.teacher)}</b>`),
    hovertemplate: "%{text}<extra></extra>", marker: { symbol: "star", size: 14, color: "rgba(0,0,0,0)", line: { width: 1.8, color: style("--ink") } } });
  const perCent = up === "kept" || runs[0]?.share, title = { parameters: "parameters", bytes: "bytes of the weights", latency: `milliseconds a ${runs[0]?.per}` }[across];
  await P.react(div, traces, layout({ revision: `${across} ${up}`, own: { showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, hovermode: "closest", height: div.clientHeight },
    x: { type: "log", dtick: "D2", title: { text: title } }, y: { title: { text: up === "kept" ? "kept of the teacher" : plain(runs[0]?.metric ?? "score") }, tickformat: perCent ? ".0%" : "", autorange: up === "score" && runs[0]?.down ? "reversed" : true } }), CONFIG);
  div.removeAllListeners?.("plotly_click");
  div.on("plotly_click", event => { const id = event.points[0].customdata; if (id) open(id); });
  div.setAttribute("aria-label", `${runs.length} runs by ${across} and ${up}; the list below names those on the frontier`);
}
