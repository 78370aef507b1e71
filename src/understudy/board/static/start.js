// The form that starts a run.

import { get, post } from "./api.js";
import { el } from "./words.js";

const NUMBERS = ["length", "epochs", "batch", "lr", "seed", "limit"];
const byId = id => document.getElementById(id);

export class Start {
  constructor(started) {
    Object.assign(this, { dialog: byId("start"), form: byId("wish"), started, methods: null, asked: 0 });
    byId("new").addEventListener("click", () => this.open());
    byId("cancel").addEventListener("click", () => this.dialog.close());
    this.form.addEventListener("input", () => this.changed());
    this.form.addEventListener("submit", event => { event.preventDefault(); this.go(); });
  }

  async open() {
    this.refuse("");
    this.dialog.showModal();
    byId("w-teacher").focus();
    try {
      this.methods ??= await get("/api/methods");
      const select = byId("w-method");
      if (!select.options.length) {
        const families = [...new Set(this.methods.map(m => m.family))];
        select.replaceChildren(...families.map(f => el("optgroup", { label: f }, ...this.methods.filter(m => m.family === f).map(m => el("option", { value: m.name }, m.name)))));
        select.value = "kd";
      }
      this.changed();
    } catch (e) { this.refuse(e.message); }
  }

  wish() {
    const given = Object.fromEntries(new FormData(this.form)), wish = { alone: byId("w-alone").checked, sets: given.sets.split("\n").map(s => s.trim()).filter(Boolean) };
    const lm = given.task === "lm";
    for (const [name, value] of Object.entries(given)) {
      if (name === "sets" || name === "alone" || value === "" || (!lm && (name === "signal" || name === "length"))) continue;
      wish[name] = NUMBERS.includes(name) ? Number(value) : value;
    }
    return wish;
  }

  async changed() {
    const lm = byId("w-task").value === "lm", asked = ++this.asked;
    this.form.querySelectorAll(".lm").forEach(e => { e.hidden = !lm; });
    byId("idea").textContent = this.methods?.find(m => m.name === byId("w-method").value)?.idea ?? "";
    this.refuse("");
    await new Promise(done => setTimeout(done, 150)); // while somebody types
    if (asked !== this.asked) return;
    try {
      const { command } = await post("/api/command", this.wish());
      if (asked === this.asked) byId("command").textContent = command;
    } catch (e) { if (asked === this.asked) this.refuse(e.message); }
  }

  async go() {
    byId("go").disabled = true;
    try {
      const { run } = await post("/api/start", this.wish());
      this.dialog.close();
      byId("w-name").value = ""; // the next one is another
      this.started(run);
    } catch (e) { this.refuse(e.message); } finally { byId("go").disabled = false; }
  }

  refuse(message) {
    byId("refused").textContent = message;
    byId("refused").hidden = !message;
  }
}
