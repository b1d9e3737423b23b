// What pictures share: colours of the page, shapes of SVG, and pictures to be saved.
import { byId, element, save } from "./elements.js";

const NS = "http://www.w3.org/2000/svg";

/** Colours of the page by the names of their variables, as red, green and blue. */
export function colours() {
  const names = { ground: "--paper", ink: "--accent", text: "--ink", quiet: "--quiet", line: "--line" };
  const style = getComputedStyle(document.body);
  return Object.fromEntries(Object.entries(names).map(([name, variable]) => [name, rgb(style.getPropertyValue(variable))]));
}

function rgb(value) {
  const probe = element("span");
  probe.style.color = value;
  document.body.append(probe);
  const found = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  probe.remove();
  return found;
}

/** A new element of SVG with attributes and a text. */
export function shape(name, attributes, text) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** An empty picture that stands for itself when it is saved. */
export function picture(width, height, attributes) {
  return shape("svg", {
    xmlns: NS, viewBox: `0 0 ${width} ${height}`, width, height,
    "font-family": "system-ui, sans-serif", "font-size": 14, ...attributes,
  });
}

/** Has buttons save a picture and what it shows, both as they are then. */
export function offer(prefix, name, svg, data) {
  const markup = () => new XMLSerializer().serializeToString(svg());
  byId(`${prefix}-svg`).addEventListener("click", () => save(`${name}.svg`, markup(), "image/svg+xml"));
  byId(`${prefix}-png`).addEventListener("click", async () => save(`${name}.png`, await pngOf(svg()), "image/png"));
  byId(`${prefix}-json`).addEventListener("click", () => save(`${name}.json`, JSON.stringify(data()), "application/json"));
}

const MOST_PIXELS = 16_000; // a side of a canvas

/** A picture of an SVG element, twice as large if there is room. */
async function pngOf(svg) {
  const url = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const [width, height] = [svg.width.baseVal.value, svg.height.baseVal.value];
    const scale = Math.min(2, MOST_PIXELS / Math.max(width, height));
    const canvas = element("canvas", { width: scale * width, height: scale * height });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((done) => canvas.toBlob(done, "image/png"));
  } finally {
    URL.revokeObjectURL(url);
  }
}
