// The running batch of an engine: which sentence has which slots, as time goes by.
const SHOWN = 8; // seconds that the picture shows
const KEPT = 40; // seconds that can be stepped back
const MOST_BARS = 6000;
const MOST_STEPS = 20_000;
const LEAST_LANES = 8;
const LANE = 12; // pixels at most
const CURVE = 46; // pixels of the curve of rows below
const TURN = 137.5; // degrees of hue between two sentences

/** What is known of the batch of one engine. Times are in seconds of this page. */
export class Batch {
  constructor() {
    this.bars = []; // {number, lanes, begin, end, cancelled, tokens}
    this.open = new Map();
    this.lanes = new Map(); // a worker's slot: its line in the picture
    this.steps = []; // {at, rows, waiting}
    this.joined = 0;
    this.left = 0;
    this.seen = 0;
  }

  /** Takes in what the service tells of it; `now` is when it came. */
  add(told, now) {
    this.seen = now;
    for (const step of told.steps) {
      const at = now - step.seconds_ago;
      for (const number of step.cancelled) this.#leave(number, at - step.seconds, true);
      for (const sequence of step.joined) this.#join(sequence, at - step.seconds);
      for (const number of step.finished) this.#leave(number, at, false);
      this.steps.push({ at, rows: step.steps ? step.rows / step.steps : 0, waiting: step.waiting });
    }
    this.#agree(told.running, now - told.seconds_ago);
    this.steps.sort((one, other) => one.at - other.at);
    this.#forget(now);
  }

  /** Steps may have been dropped, or been before this page looked: what is told to run is right. */
  #agree(running, at) {
    const numbers = new Set(running.map(({ number }) => number));
    for (const sequence of running) if (!this.open.has(sequence.number)) this.#join(sequence, at);
    for (const number of [...this.open.keys()]) if (!numbers.has(number)) this.#leave(number, at, false);
  }

  /** Nobody tells of it any more: what ran is not known to run on, and numbers may begin anew. */
  stop(at) {
    for (const number of [...this.open.keys()]) this.#leave(number, at, false);
  }

  #join({ number, worker, slots, source_tokens: tokens }, at) {
    if (this.open.has(number)) return;
    const bar = { number, lanes: slots.map((slot) => this.#lane(worker, slot)), begin: at, end: Infinity, cancelled: false, tokens };
    this.open.set(number, bar);
    this.bars.push(bar);
    this.joined++;
  }

  #leave(number, at, cancelled) {
    const bar = this.open.get(number);
    if (!bar) return;
    this.open.delete(number);
    Object.assign(bar, { end: at, cancelled });
    this.left++;
  }

  #lane(worker, slot) {
    const key = `${worker} ${slot}`;
    if (!this.lanes.has(key)) this.lanes.set(key, this.lanes.size);
    return this.lanes.get(key);
  }

  #forget(now) {
    this.bars = this.bars.filter(({ end }) => end > now - KEPT).slice(-MOST_BARS);
    this.steps = this.steps.filter(({ at }) => at > now - KEPT).slice(-MOST_STEPS);
  }

  /** The sentences that have slots at a time. */
  at(time) {
    return this.bars.filter(({ begin, end }) => begin <= time && time < end);
  }

  /** The last step until a time. */
  step(time) {
    return this.steps.findLast(({ at }) => at <= time) ?? { at: time, rows: 0, waiting: 0 };
  }

  /** The time of the step before or behind a time. */
  beside(time, forward) {
    const found = forward ? this.steps.find(({ at }) => at > time) : this.steps.findLast(({ at }) => at < time);
    return found?.at ?? time;
  }
}

/**
 * Draws the seconds up to a time: a line for each slot that was used, and the rows of each step.
 * @param palette the page's colours
 */
export function drawBatch(canvas, batch, time, palette) {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const paper = canvas.getContext("2d");
  paper.setTransform(ratio, 0, 0, ratio, 0, 0);
  paper.clearRect(0, 0, width, height);
  const isDark = palette.ground[0] < 128;
  const x = (at) => width - ((time - at) * width) / SHOWN;
  const lane = Math.min(LANE, (height - CURVE) / Math.max(LEAST_LANES, batch.lanes.size));
  for (const bar of batch.bars) {
    if (bar.end < time - SHOWN || bar.begin > time) continue;
    const [from, to] = [Math.max(0, x(bar.begin)), Math.min(width, x(Math.min(bar.end, time)))];
    paper.fillStyle = `hsl(${(bar.number * TURN) % 360} 50% ${isDark ? 60 : 45}%)`;
    for (const at of bar.lanes) paper.fillRect(from, at * lane, Math.max(1, to - from - 0.5), Math.max(1, lane - 1));
    if (!bar.cancelled) continue;
    paper.fillStyle = `rgb(${palette.text})`; // it has left without a translation
    for (const at of bar.lanes) paper.fillRect(to - 2, at * lane, 2, Math.max(1, lane - 1));
  }
  drawRows(paper, batch, time, x, height, palette);
}

function drawRows(paper, batch, time, x, height, palette) {
  const steps = batch.steps.filter(({ at }) => at > time - SHOWN && at <= time);
  const top = Math.max(LEAST_LANES, ...steps.map(({ rows }) => rows));
  paper.strokeStyle = `rgb(${palette.line})`;
  paper.strokeRect(0, height - 0.5, x(time), 0);
  paper.fillStyle = `rgb(${palette.ink})`;
  for (const { at, rows } of steps) {
    const tall = ((CURVE - 6) * rows) / top;
    paper.fillRect(x(at) - 1, height - tall, 1.5, tall);
  }
}
