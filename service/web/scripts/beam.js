// The search for a sentence as a tree: what it looked at, what it pruned, what it found.
import { colours, picture, shape } from "./drawing.js";

const ROW = 22;
const LETTER = 8.6;
const GAP = 34;
const MARGIN = 10;
const START = "<s>";

const WORDS = { kept: "the search went on from it", ended: "a finished translation", pruned: "pruned" };

/** The candidates as nodes with their children, by steps: those of a step are in order, the likeliest first. */
function stepsOf({ candidates, best }, withPruned) {
  const isBest = new Set(best);
  const root = { token: START, log_prob: 0, state: "kept", isBest: true, children: [], depth: 0, row: 0, above: null };
  const steps = [[root]];
  const nodes = candidates.map((each, number) => ({ ...each, isBest: isBest.has(number), children: [] }));
  for (const node of nodes) {
    node.above = node.parent === null ? root : nodes[node.parent];
    node.depth = node.above.depth + 1;
    node.share = Math.exp(node.log_prob - node.above.log_prob);
    if (!withPruned && node.state === "pruned") continue;
    node.above.children.push(node);
    const step = (steps[node.depth] ??= []);
    node.row = step.push(node) - 1;
  }
  return steps;
}

const labelOf = ({ token }) => token.trim() || "␣";

/** What is told of a candidate. */
function said(node) {
  if (!node.above) return "the beginning";
  const score = node.score === null ? "" : `, score ${node.score.toFixed(3)}`;
  const percent = (100 * node.share).toFixed(node.share < 0.01 ? 2 : 1);
  const chosen = node.isBest ? ", on the way to the translation" : "";
  return `${labelOf(node)}: ${percent} % here, log-probability ${node.log_prob.toFixed(3)} in all${score}; ${WORDS[node.state]}${chosen}`;
}

/**
 * Draws the search, a step in each column, from left to right. Arrow keys lead through it.
 * @param search the service's answer
 * @param withPruned whether what was pruned is drawn
 * @param tell is told in words what is pointed at
 */
export function drawBeam(search, withPruned, tell) {
  const steps = stepsOf(search, withPruned);
  const rows = Math.max(...steps.map((step) => step.length));
  const widths = steps.map((step) => Math.max(...step.map((node) => LETTER * labelOf(node).length + 12)));
  const lefts = widths.reduce((all, width) => [...all, all.at(-1) + width + GAP], [MARGIN]);
  const palette = Object.fromEntries(Object.entries(colours()).map(([name, of]) => [name, `rgb(${of})`]));
  const [width, height] = [lefts.at(-1) - GAP + MARGIN, ROW * rows + 2 * MARGIN];
  const svg = picture(width, height, { role: "group", "aria-label": "The search as a tree; arrow keys lead through it" });
  svg.append(shape("rect", { width, height, fill: palette.ground }));
  const middle = (node) => MARGIN + ROW * (node.row + 0.5);
  const edges = shape("g", { fill: "none" });
  svg.append(edges);
  const order = steps.flat().sort((one, other) => one.isBest - other.isBest); // the best on top
  for (const node of order) {
    if (node.above) edges.append(edge(node, node.above, lefts, widths, middle, palette));
    svg.append(label(node, lefts[node.depth], widths[node.depth], middle(node), palette, tell));
  }
  listen(svg, steps);
  return svg;
}

function edge(node, above, lefts, widths, middle, palette) {
  const from = lefts[above.depth] + widths[above.depth];
  const to = lefts[node.depth];
  const half = (from + to) / 2;
  return shape("path", {
    d: `M${from},${middle(above)} C${half},${middle(above)} ${half},${middle(node)} ${to},${middle(node)}`,
    stroke: node.isBest ? palette.ink : palette.quiet,
    "stroke-width": node.isBest ? 3 : 1 + 3 * node.share,
    "stroke-opacity": node.isBest ? 1 : 0.35,
    ...(node.state === "pruned" ? { "stroke-dasharray": "3 3" } : {}),
  });
}

function label(node, left, width, middle, palette, tell) {
  const group = shape("g", { role: "img", "aria-label": said(node), tabindex: -1, class: `candidate ${node.state}` });
  group.append(shape("title", {}, said(node)), shape("rect", {
    x: left, y: middle - ROW / 2 + 1, width, height: ROW - 2, rx: 5, fill: palette.ground,
    stroke: node.isBest ? palette.ink : palette.line,
    "stroke-width": node.state === "ended" ? 2.5 : node.isBest ? 1.5 : 0.5,
  }), shape("text", {
    x: left + 6, y: middle + 5, fill: node.state === "pruned" ? palette.quiet : palette.text,
    ...(node.isBest ? { "font-weight": 600 } : {}),
  }, labelOf(node)));
  for (const event of ["pointerenter", "focus"]) group.addEventListener(event, () => tell(said(node)));
  node.element = group;
  return group;
}

function listen(svg, steps) {
  const [[root]] = steps;
  let at = root;
  root.element.setAttribute("tabindex", 0);
  svg.addEventListener("keydown", (event) => {
    const step = steps[at.depth];
    const ways = {
      ArrowRight: at.children.find((child) => child.isBest) ?? at.children[0],
      ArrowLeft: at.above,
      ArrowUp: step[at.row - 1],
      ArrowDown: step[at.row + 1],
      Home: root,
    };
    if (!(event.key in ways)) return;
    event.preventDefault();
    const next = ways[event.key];
    if (!next) return;
    at.element.setAttribute("tabindex", -1);
    at = next;
    at.element.setAttribute("tabindex", 0);
    at.element.focus();
  });
}
