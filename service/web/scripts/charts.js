// Small charts of figures that come once a second.
import { shape } from "./drawing.js";
import { element } from "./elements.js";

const SECONDS = 60; // that a chart shows
const WIDTH = 240;
const HEIGHT = 56;
const LEAST_TOP = 1; // a chart of nothing is flat

/** A number as short as it can be told. */
export function short(value) {
  if (value === null || value === undefined) return "–";
  const digits = value !== 0 && Math.abs(value) < 10 && !Number.isInteger(value) ? 1 : 0;
  return value.toLocaleString(undefined, { maximumFractionDigits: digits, notation: value < 100_000 ? "standard" : "compact" });
}

/** So many of something, in words. */
export const counted = (count, name) => `${short(count)} ${name}${count === 1 ? "" : "s"}`;

/**
 * One chart.
 * @param title what it shows
 * @param lines each with a name and `of`, which finds its value in the figures
 * @param said tells the value of now in words
 */
export class Chart {
  constructor(title, lines, said) {
    this.lines = lines;
    this.said = said;
    this.values = lines.map(() => []);
    this.now = element("output", { "aria-live": "off" }, "–"); // it changes each second
    this.top = element("span", { className: "quiet" });
    this.paths = lines.map((_, number) => shape("path", { class: `line-${number}`, "vector-effect": "non-scaling-stroke" }));
    const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    svg.append(...this.paths);
    const names = lines.length < 2 ? [] : lines.map(({ name }, number) =>
      element("span", { className: `quiet name-${number}` }, name));
    this.element = element("figure", { className: "chart" },
      element("figcaption", {}, title, " ", this.now), svg, element("div", { className: "names" }, ...names, this.top));
  }

  add(figures) {
    this.lines.forEach(({ of }, number) => {
      const values = this.values[number];
      values.push(of(figures));
      if (values.length > SECONDS) values.shift();
    });
    this.now.textContent = this.said(figures);
    this.draw();
  }

  draw() {
    const top = Math.max(LEAST_TOP, ...this.values.flat().map((value) => value ?? 0));
    this.top.textContent = `at most ${short(top)}`;
    this.values.forEach((values, number) => {
      const begin = SECONDS - values.length;
      let pen = "M";
      const steps = values.map((value, at) => {
        if (value === null) {
          pen = "M"; // nothing was there to be measured
          return "";
        }
        const x = ((begin + at) * WIDTH) / (SECONDS - 1);
        const point = `${pen}${x.toFixed(1)},${(HEIGHT - 2 - ((HEIGHT - 4) * value) / top).toFixed(1)}`;
        pen = "L";
        return point;
      });
      this.paths[number].setAttribute("d", steps.join(""));
    });
  }
}
