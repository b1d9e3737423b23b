// What the service does now: figures, and the running batch. It is asked only while somebody looks.
import { live } from "./api.js";
import { Batch, drawBatch } from "./batch.js";
import { Chart, counted, short } from "./charts.js";
import { colours } from "./drawing.js";
import { byId, element, showProblem } from "./elements.js";

const BEHIND = 1.7; // seconds by which the batch is shown late: by then all of it is known
const PAUSE_MS = 2000; // before it is asked again
const MOST_BATCHES = 64;
const seconds = () => performance.now() / 1000;
const time = (value) => (value === null ? "–" : value < 1 ? `${Math.round(1000 * value)} ms` : `${value.toFixed(1)} s`);

const makeCharts = () => [
  new Chart("Translations", [
    { name: "answered", of: (now) => now.requests_per_second },
    { name: "failed", of: (now) => sum(now.failures_per_second, now.refused_per_second) },
  ], (now) => `${short(now.requests_per_second)} a second`),
  new Chart("Tokens", [
    { name: "written", of: (now) => now.target_tokens_per_second },
    { name: "read", of: (now) => now.source_tokens_per_second },
  ], (now) => `${short(now.target_tokens_per_second)} a second`),
  new Chart("Time of a translation", [
    { name: "half, ms", of: (now) => milliseconds(now.p50_seconds) },
    { name: "95 %, ms", of: (now) => milliseconds(now.p95_seconds) },
  ], (now) => `${time(now.p50_seconds)}, 95 % ${time(now.p95_seconds)}`),
  new Chart("Queue", [{ name: "waiting", of: (now) => now.waiting }], (now) => counted(now.waiting, "sentence")),
  new Chart("Batch", [
    { name: "rows in a step", of: (now) => now.rows_per_step },
    { name: "slots in use", of: (now) => now.slots_in_use },
  ], (now) => `${short(now.rows_per_step)} rows, ${now.slots_in_use} of ${now.slots} slots`),
  new Chart("In memory", [
    { name: "replicas", of: (now) => now.replicas },
    { name: "models", of: (now) => now.models.length },
  ], (now) => `${counted(now.replicas, "replica")}, ${counted(now.models.length, "model")}`),
];

const sum = (one, other) => (one === null || other === null ? null : one + other);
const milliseconds = (value) => (value === null ? null : 1000 * value);

export class WatchView {
  constructor() {
    this.isShown = false;
    this.asked = null;
    this.batches = new Map();
    this.pausedAt = null;
    this.charts = makeCharts();
    byId("charts").append(...this.charts.map((chart) => chart.element));
    byId("batch-pause").addEventListener("click", () => this.#pause());
    byId("batch-back").addEventListener("click", () => this.#step(false));
    byId("batch-on").addEventListener("click", () => this.#step(true));
    byId("batch-engine").addEventListener("change", () => {
      byId("batch-engine").dataset.chosen = "true";
      this.#draw();
    });
    document.addEventListener("visibilitychange", () => this.#turn());
    this.isCalm = matchMedia("(prefers-reduced-motion: reduce)");
  }

  show(isShown) {
    this.isShown = isShown;
    this.#turn();
  }

  /** Asks the service while the view can be seen, and no longer. */
  #turn() {
    const isWanted = this.isShown && !document.hidden;
    if (isWanted === Boolean(this.asked)) return;
    if (!isWanted) {
      this.asked.abort();
      this.asked = null;
      this.#stop();
      return;
    }
    this.asked = new AbortController();
    this.#watch(this.asked.signal);
    this.#animate(this.asked.signal);
  }

  #stop() {
    for (const batch of this.batches.values()) batch.stop(seconds());
  }

  async #watch(signal) {
    while (!signal.aborted) {
      try {
        for await (const { event, data } of live(signal)) {
          if (signal.aborted) return;
          showProblem(byId("watch-problem"), null);
          if (event === "figures") this.#tell(data);
          else if (event === "batch") this.#take(data);
        }
        this.#stop();
      } catch (error) {
        if (signal.aborted) return;
        this.#stop();
        showProblem(byId("watch-problem"), error, () => {
          this.asked?.abort();
          this.asked = null;
          this.#turn();
        });
        if (!error.canRetry) return;
      }
      await new Promise((go) => setTimeout(go, PAUSE_MS));
    }
  }

  #tell(figures) {
    for (const chart of this.charts) chart.add(figures);
    this.palette = null; // the page may have others by now
    byId("loaded").replaceChildren(...figures.models.map(({ name, processes, running, waiting }) => {
      const where = processes === 1 ? "" : ` in ${processes} processes`;
      return element("li", {}, element("b", {}, name), `${where}: ${running} running, ${waiting} waiting`);
    }));
    byId("watch-result").hidden = false;
    if (this.isCalm.matches) this.#draw();
  }

  #take(told) {
    const key = `${told.model}, ${told.process}`;
    if (!this.batches.has(key)) {
      if (this.batches.size >= MOST_BATCHES) this.#drop();
      this.batches.set(key, new Batch());
      byId("batch-engine").append(element("option", { value: key }, key));
    }
    this.batches.get(key).add(told, seconds());
    if (byId("batch-engine").dataset.chosen && byId("batch-engine").value) return;
    // Until somebody chooses, the one with the most to do.
    const [busiest] = [...this.batches].reduce((one, other) => (other[1].joined > one[1].joined ? other : one));
    byId("batch-engine").value = busiest;
  }

  /** Forgets the engine that has been quiet for longest. */
  #drop() {
    const [oldest] = [...this.batches].reduce((one, other) => (other[1].seen < one[1].seen ? other : one));
    this.batches.delete(oldest);
    [...byId("batch-engine").options].find(({ value }) => value === oldest)?.remove();
  }

  #animate(signal) {
    const turn = () => {
      if (signal.aborted) return;
      if (!this.isCalm.matches) this.#draw();
      requestAnimationFrame(turn);
    };
    requestAnimationFrame(turn);
  }

  #draw() {
    const batch = this.batches.get(byId("batch-engine").value);
    if (!batch) return;
    const now = this.pausedAt ?? seconds() - BEHIND;
    drawBatch(byId("batch"), batch, now, (this.palette ??= colours()));
    const running = batch.at(now);
    const slots = running.reduce((count, { lanes }) => count + lanes.length, 0);
    const { rows, waiting } = batch.step(now);
    say("batch-now", running.length
      ? `${counted(running.length, "sentence")} in ${counted(slots, "slot")}; ${counted(rows, "row")} in the last step; ${waiting} waiting`
      : "nobody runs");
    say("batch-joined", String(batch.joined));
    say("batch-left", String(batch.left));
  }

  #pause() {
    this.pausedAt = this.pausedAt === null ? seconds() - BEHIND : null;
    const isPaused = this.pausedAt !== null;
    byId("batch-pause").textContent = isPaused ? "Go on" : "Pause";
    byId("batch-pause").setAttribute("aria-pressed", String(isPaused));
    for (const id of ["batch-back", "batch-on"]) byId(id).disabled = !isPaused;
    this.#draw();
  }

  #step(forward) {
    const batch = this.batches.get(byId("batch-engine").value);
    if (!batch || this.pausedAt === null) return;
    this.pausedAt = batch.beside(this.pausedAt, forward);
    this.#draw();
  }
}

/** Writes a text that changes seldom. */
function say(id, words) {
  if (byId(id).textContent !== words) byId(id).textContent = words;
}
