// Attention maps: what heads look at, and pictures of one head, of all heads.
import { colours, picture, shape } from "./drawing.js";
import { element } from "./elements.js";

export const HABITS = ["the one before", "the next", "itself", "the end", "much at once", "one or few"];
const MOSTLY = 0.4;
const SPREAD = 0.75; // of the most entropy that there can be
const FAINT = 0.03; // a line that nobody would see
const ROW = 22;
const CELL = 18;

/** What a head looks at most; `map` is square for self-attention, which alone knows "itself". */
export function habitOf(map, entropy, isSelf) {
  const width = map[0].length;
  let before = 0, next = 0, itself = 0, end = 0;
  map.forEach((row, at) => {
    before += row[at - 1] ?? 0;
    next += row[at + 1] ?? 0;
    itself += row[at] ?? 0;
    end += row[width - 1];
  });
  const shares = isSelf ? [before, next, itself, end] : [0, 0, 0, end];
  const most = shares.indexOf(Math.max(...shares));
  if (shares[most] / map.length > MOSTLY) return HABITS[most];
  return entropy > SPREAD * Math.log(width) ? HABITS[4] : HABITS[5];
}

/** The mean of several heads. */
export function meanOf(maps) {
  return maps[0].map((row, at) => row.map((_, to) => maps.reduce((sum, map) => sum + map[at][to], 0) / maps.length));
}

/** Draws a map with a pixel for each pair; a style makes it as large as it is to be. */
export function drawPixels(canvas, map, { ground, ink } = colours()) {
  const [height, width] = [map.length, map[0].length];
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  let at = 0;
  for (const row of map) {
    for (const weight of row) {
      const share = Math.sqrt(weight); // small ones are seen too
      for (let part = 0; part < 3; part++) image.data[at++] = ground[part] + share * (ink[part] - ground[part]);
      image.data[at++] = 255;
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Small pictures of all heads. `heads`: {layer, head, map, entropy, habit}. */
export function drawHeads(box, heads, isChosen, choose) {
  const palette = colours();
  const buttons = heads.map((one) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    drawPixels(canvas, one.map, palette);
    const button = element("button", {
      type: "button", "aria-pressed": String(isChosen(one)),
      title: `Layer ${one.layer + 1}, head ${one.head + 1}: looks at ${one.habit}`,
    }, canvas, `${one.layer + 1}.${one.head + 1}  H ${one.entropy.toFixed(2)}`, element("br"), one.habit);
    button.addEventListener("click", () => choose(one));
    return button;
  });
  box.replaceChildren(...buttons);
}

/** Tokens in two columns, with lines as strong as the attention. Returns the SVG element. */
export function drawWeb(map, from, to) {
  const { ground, ink, text: black } = colours();
  const text = `rgb(${black})`;
  const longest = (tokens) => 9 * Math.max(...tokens.map((token) => token.length)) + 12;
  const left = longest(from);
  const gap = 150;
  const width = left + gap + longest(to);
  const height = ROW * Math.max(from.length, to.length) + 8;
  const svg = picture(width, height, { role: "img", "aria-label": "Lines from each token to those that it looks at" });
  svg.append(shape("rect", { width, height, fill: `rgb(${ground})` }));
  const middle = (at) => ROW * at + ROW / 2 + 4;
  const lines = from.map(() => shape("g", { stroke: `rgb(${ink})`, "stroke-width": 2 }));
  map.forEach((row, at) => row.forEach((weight, place) => {
    if (weight < FAINT) return;
    lines[at].append(shape("line", {
      x1: left, y1: middle(at), x2: left + gap, y2: middle(place), "stroke-opacity": weight.toFixed(3),
    }));
  }));
  const targets = to.map((_, place) => shape("rect", {
    x: left + gap, y: ROW * place + 4, width: width - left - gap, height: ROW, fill: `rgb(${ink})`, "fill-opacity": 0,
  }));
  svg.append(...targets, ...lines);
  const only = (at) => {
    lines.forEach((group, other) => group.setAttribute("opacity", at === null || other === at ? 1 : 0.05));
    targets.forEach((box, place) => box.setAttribute("fill-opacity", at === null ? 0 : (map[at][place] * 0.8).toFixed(3)));
  };
  from.forEach((token, at) => {
    const label = shape("text", {
      x: left - 6, y: middle(at) + 5, "text-anchor": "end", fill: text, tabindex: 0, class: "token",
    }, token);
    for (const event of ["pointerenter", "focus"]) label.addEventListener(event, () => only(at));
    for (const event of ["pointerleave", "blur"]) label.addEventListener(event, () => only(null));
    svg.append(label);
  });
  to.forEach((token, place) => svg.append(shape("text", { x: left + gap + 6, y: middle(place) + 5, fill: text }, token)));
  return svg;
}

/** The heat map, of which `tell` says what is pointed at. */
export function drawMap(canvas, map, from, to, tell) {
  drawPixels(canvas, map);
  canvas.style.width = `${CELL * to.length}px`;
  canvas.style.height = `${CELL * from.length}px`;
  canvas.onpointermove = (event) => {
    const box = canvas.getBoundingClientRect();
    const at = Math.floor(((event.clientY - box.top) / box.height) * from.length);
    const place = Math.floor(((event.clientX - box.left) / box.width) * to.length);
    if (map[at]?.[place] !== undefined) tell(`${from[at]} → ${to[place]}: ${(100 * map[at][place]).toFixed(1)} %`);
  };
  canvas.onpointerleave = () => tell("");
}
