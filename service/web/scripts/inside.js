// Where each head of a model looks, for one sentence, and which words of both languages belong together.
import { post } from "./api.js";
import { drawHeads, drawMap, drawWeb, HABITS, habitOf, meanOf } from "./attention.js";
import { drawBeam } from "./beam.js";
import { offer } from "./drawing.js";
import { byId, element, showProblem } from "./elements.js";
import { fromCodePoints, sentenceAt } from "./sentences.js";

const ALL = "all";

export class InsideView {
  constructor(languages) {
    this.languages = languages;
    this.answer = null;
    this.search = null;
    this.habit = null;
    languages.fillSources(byId("inside-source"), { auto: false });
    languages.fillTargets(byId("inside-target"), byId("inside-source").value);
    byId("inside-source").addEventListener("change", () =>
      languages.fillTargets(byId("inside-target"), byId("inside-source").value));
    byId("inside-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.look();
    });
    for (const radio of document.getElementsByName("kind")) radio.addEventListener("change", () => this.#showKind());
    for (const id of ["layer", "head"]) byId(id).addEventListener("change", () => this.#showHead());
    byId("order").addEventListener("change", () => this.#showHeads());
    offer("save", "attention", () => this.svg, () => this.answer);
    offer("beam", "beam", () => this.tree, () => this.search);
    byId("beam-pruned").addEventListener("change", () => this.#showBeam());
    byId("beam-size").addEventListener("change", () => this.#search());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  /** Looks into the first sentence of a text. */
  show({ text, source, target }) {
    const begin = text.length - text.trimStart().length;
    const first = sentenceAt(text, begin, source);
    byId("sentence").value = text.slice(first.begin, first.end);
    byId("inside-source").value = source;
    this.languages.fillTargets(byId("inside-target"), source);
    byId("inside-target").value = target;
    this.look();
  }

  async look() {
    const asked = this.#asked();
    const button = document.querySelector("#inside-form button");
    button.disabled = true;
    try {
      const [answer, aligned] = await Promise.all([
        post("v1/attention", asked), post("v1/translate", { ...asked, return_alignments: true }),
      ]);
      this.answer = answer;
      byId("inside-result").hidden = false;
      showProblem(byId("inside-problem"), null);
      this.#showPair(asked.text, aligned.translations[0]);
      document.querySelector("[name=kind][value=decoder]").disabled = !answer.decoder;
      if (!answer.decoder && this.#kind() === "decoder") document.querySelector("[name=kind]").checked = true;
      this.#showKind();
      this.#search();
    } catch (error) {
      showProblem(byId("inside-problem"), error, () => this.look());
    } finally {
      button.disabled = false;
    }
  }

  redraw() {
    if (this.answer) this.#showKind();
    if (this.search) this.#showBeam();
  }

  #asked() {
    return {
      text: byId("sentence").value, source: byId("inside-source").value, target: byId("inside-target").value,
    };
  }

  /** Asks for the search, which takes longer than the rest. */
  async #search() {
    this.searching?.abort();
    const { signal } = (this.searching = new AbortController());
    const size = Number(byId("beam-size").value);
    const body = size ? { ...this.#asked(), generation: { beam_size: size } } : this.#asked();
    byId("beam-tree").setAttribute("aria-busy", "true");
    try {
      this.search = await post("v1/beam", body, signal);
      showProblem(byId("beam-problem"), null);
      this.#showBeam();
    } catch (error) {
      if (signal.aborted) return;
      this.search = null;
      byId("beam-tree").replaceChildren();
      showProblem(byId("beam-problem"), error, () => this.#search());
    } finally {
      if (!signal.aborted) byId("beam-tree").setAttribute("aria-busy", "false");
    }
    byId("beam-result").hidden = !this.search;
  }

  #showBeam() {
    this.tree = drawBeam(this.search, byId("beam-pruned").checked, (words) => (byId("candidate").textContent = words));
    byId("beam-tree").replaceChildren(this.tree);
    byId("beam-translation").textContent = this.search.translation;
  }

  #kind() {
    return document.querySelector("[name=kind]:checked").value;
  }

  #tokens() {
    const { source_tokens: source, target_tokens: target } = this.answer;
    return { encoder: [source, source], cross: [target, source], decoder: [target, target] }[this.#kind()];
  }

  #showKind() {
    const { maps, entropies } = this.answer[this.#kind()];
    const isSelf = this.#kind() !== "cross";
    this.heads = maps.flatMap((layer, number) => layer.map((map, head) => ({
      layer: number, head, map, entropy: entropies[number][head], habit: habitOf(map, entropies[number][head], isSelf),
    })));
    const fill = (select, count, last, more) => {
      const before = select.value;
      const options = [...Array(count).keys()].map((at) => element("option", { value: String(at) }, String(at + 1)));
      select.replaceChildren(...options, ...more);
      select.value = before;
      if (!select.value) select.selectedIndex = last;
    };
    fill(byId("layer"), maps.length, maps.length - 1, []);
    fill(byId("head"), maps[0].length, maps[0].length, [element("option", { value: ALL }, "mean of all")]);
    this.#showHead();
    this.#showHeads();
  }

  #showHead() {
    const layer = this.answer[this.#kind()].maps[Number(byId("layer").value)];
    const head = byId("head").value;
    const map = head === ALL ? meanOf(layer) : layer[Number(head)];
    const [from, to] = this.#tokens();
    this.svg = drawWeb(map, from, to);
    byId("web").replaceChildren(this.svg);
    drawMap(byId("map"), map, from, to, (words) => (byId("cell").textContent = words));
    for (const [at, button] of [...byId("heads").children].entries()) {
      button.setAttribute("aria-pressed", String(this.#isChosen(this.listed[at])));
    }
  }

  #isChosen({ layer, head }) {
    return byId("layer").value === String(layer) && byId("head").value === String(head);
  }

  #showHeads() {
    const counts = HABITS.map((habit) => [habit, this.heads.filter((one) => one.habit === habit).length]);
    byId("habits").replaceChildren(...counts.filter(([, count]) => count).map(([habit, count]) => {
      const chip = element("button", { type: "button", "aria-pressed": String(this.habit === habit) }, `${habit}: ${count}`);
      chip.addEventListener("click", () => {
        this.habit = this.habit === habit ? null : habit;
        this.#showHeads();
      });
      return chip;
    }));
    const orders = {
      layer: (one, other) => one.layer - other.layer || one.head - other.head,
      entropy: (one, other) => one.entropy - other.entropy,
      habit: (one, other) => HABITS.indexOf(one.habit) - HABITS.indexOf(other.habit) || one.entropy - other.entropy,
    };
    this.listed = this.heads.filter((one) => !this.habit || one.habit === this.habit).sort(orders[byId("order").value]);
    if (!this.listed.length) this.listed = this.heads;
    drawHeads(byId("heads"), this.listed, (one) => this.#isChosen(one), ({ layer, head }) => {
      byId("layer").value = String(layer);
      byId("head").value = String(head);
      this.#showHead();
    });
  }

  #showPair(text, { text: translation, alignments = [] }) {
    const sides = [[byId("pair-source"), text, "source"], [byId("pair-target"), translation, "target"]];
    for (const [box, whole, side] of sides) {
      const place = fromCodePoints(whole);
      const words = new Map();
      alignments.forEach(({ [side]: [begin, end] }, number) => {
        const key = `${place(begin)} ${place(end)}`;
        words.set(key, [...(words.get(key) ?? []), number]);
      });
      const parts = [];
      let at = 0;
      const spans = [...words].map(([key, numbers]) => [...key.split(" ").map(Number), numbers]);
      for (const [begin, end, numbers] of spans.sort((one, other) => one[0] - other[0])) {
        if (begin < at) continue;
        parts.push(whole.slice(at, begin), this.#word(whole.slice(begin, end), numbers));
        at = end;
      }
      box.replaceChildren(...parts, whole.slice(at));
      const [first] = box.querySelectorAll("button");
      if (first) first.tabIndex = 0; // one stop for all words; arrows lead to the others
    }
  }

  #word(text, numbers) {
    const word = element("button", {
      type: "button", className: "word", tabIndex: -1, dataset: { pairs: numbers.join(" ") },
    }, text);
    const light = (isLit) => {
      const wanted = new Set(numbers.map(String));
      for (const other of document.querySelectorAll("[data-pairs]")) {
        const isPartner = other.dataset.pairs.split(" ").some((each) => wanted.has(each));
        other.classList.toggle("lit", isLit && isPartner);
      }
    };
    for (const event of ["pointerenter", "focus"]) word.addEventListener(event, () => light(true));
    for (const event of ["pointerleave", "blur"]) word.addEventListener(event, () => light(false));
    word.addEventListener("focus", () => this.#tellPair(numbers));
    word.addEventListener("pointerenter", () => this.#tellPair(numbers));
    word.addEventListener("keydown", (event) => {
      const words = [...word.parentElement.querySelectorAll("button")];
      const forward = getComputedStyle(word).direction === "rtl" ? -1 : 1;
      const at = words.indexOf(word);
      const to = { ArrowRight: at + forward, ArrowLeft: at - forward, Home: 0, End: words.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = words[Math.max(0, Math.min(to, words.length - 1))];
      word.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    return word;
  }

  /** Says which words belong together, for who cannot see them light up. */
  #tellPair(numbers) {
    const wanted = new Set(numbers.map(String));
    const sides = ["pair-source", "pair-target"].map((id) => [...byId(id).querySelectorAll("button")]
      .filter((other) => other.dataset.pairs.split(" ").some((each) => wanted.has(each)))
      .map((other) => other.textContent).join(" "));
    byId("pair-said").textContent = sides.join(" – ");
  }
}
