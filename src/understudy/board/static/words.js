// Numbers as people read them, and elements without HTML in strings: nothing that comes from a run is ever parsed as markup.

export function el(tag, props = {}, ...kids) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name === "className" ? "class" : name, value);
  }
  node.append(...kids.filter(kid => kid !== null && kid !== undefined && kid !== ""));
  return node;
}

export const NOTHING = "–";
const known = f => value => (value === null || value === undefined ? NOTHING : f(value));
const short = (value, digits) => value.toLocaleString("en", { maximumSignificantDigits: digits });
const scaled = (value, worth, units, digits = 3) => {
  let i = 0;
  while (value >= worth && i < units.length - 1) { value /= worth; i += 1; }
  return `${short(value, digits)}${units[i]}`;
};

export const share = known(v => `${(100 * v).toFixed(1)} %`);
export const number = known(v => (Number.isInteger(v) ? v.toLocaleString("en") : Math.abs(v) < 1e-3 || Math.abs(v) >= 1e6 ? v.toExponential(2) : short(v, 4)));
export const score = known(v => (Math.abs(v) < 100 ? v.toFixed(3) : short(v, 4)));
export const count = known(v => (v < 1e5 ? v.toLocaleString("en") : scaled(v, 1000, ["", "k", "M", "G", "T"])));
export const bytes = known(v => scaled(v, 1000, [" B", " kB", " MB", " GB", " TB"]));
export const ms = known(v => `${v < 10 ? v.toFixed(v < 0.1 ? 3 : 2) : short(v, 3)} ms`);
export const seconds = known(v => (v < 100 ? `${v.toFixed(v < 10 ? 1 : 0)} s` : v < 5400 ? `${Math.round(v / 60)} min` : v < 172800 ? `${(v / 3600).toFixed(1)} h` : `${(v / 86400).toFixed(1)} d`));
export const KINDS = { share, score, number, count, bytes, ms, seconds };

export const scored = (run, value) => (run.share ? share : score)(value);

// Day and time.
export function when(v) {
  const at = new Date(1000 * v), two = n => String(n).padStart(2, "0");
  return [`${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`, `${two(at.getHours())}:${two(at.getMinutes())}`];
}

export const setting = v => (v === null || v === undefined ? NOTHING : v === "" ? "(empty)" : typeof v === "object" ? JSON.stringify(v) : String(v));
