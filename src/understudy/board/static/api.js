// What the page asks the board for.

export const meta = name => document.querySelector(`meta[name=${name}]`).content;
export const address = (run, what) => `/runs/${run.split("/").map(encodeURIComponent).join("/")}/${what}`;

async function answer(response) {
  if (response.ok) return response.json();
  const text = await response.text();
  let said = text;
  try { said = JSON.parse(text).error; } catch { /* plain text */ }
  throw new Error(said || `the board answered ${response.status}`);
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json", "X-Board-Token": meta("token") };
  return answer(await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

// A function that fetches a path, and gives null where the board has nothing newer than what it last gave for it; or for any path, where all lead to the same.
export function watched(any = false) {
  let tag = null, of = null;
  return async path => {
    const headers = tag && (any || of === path) ? { "If-None-Match": tag } : {};
    const response = await fetch(path, { headers, cache: "no-store" });
    if (response.status === 304) return null;
    const found = await answer(response);
    tag = response.headers.get("ETag");
    of = path;
    return found;
  };
}

export const get = async path => answer(await fetch(path));
