// The two panes: what is typed on the left is translated on the right, word by word as it is decided.
import { alternativesAt, Choice } from "./alternatives.js";
import { get, stream } from "./api.js";
import { Documents } from "./documents.js";
import { byId, copyText, element, showProblem } from "./elements.js";
import { history, settings } from "./kept.js";
import { AUTO } from "./languages.js";

const PAUSE_MS = 120; // between the last key and the request
const FIRST_LINE = 44; // pixels from the top of the translation to below it
const REMEMBERED = ["source", "target", "model", "beam", "length-penalty", "format", "keep"];

export class TranslateView {
  /** @param onResult is told of each translation that has come whole */
  constructor(languages, onResult) {
    this.languages = languages;
    this.onResult = onResult;
    this.limit = Infinity;
    this.shown = null;
    this.asked = null;
    this.choice = new Choice(byId("alternatives"));
    this.documents = new Documents(byId("documents"), () => this.#pair());
    this.#restore();
    this.#listen();
    this.#loadLimits();
    this.fromFragment();
    this.soon(); // what was typed before the page was ready
  }

  // -- what is asked for

  #pair() {
    const source = byId("source").value;
    return { source: source === AUTO ? null : source, target: byId("target").value };
  }

  #request() {
    const { source, target } = this.#pair();
    const body = { text: byId("text").value, target };
    if (this.length() <= this.limit / 2) body.return_alignments = true; // longer answers with them may not be had
    if (source) body.source = source;
    if (byId("model").value) body.model = byId("model").value;
    if (byId("format").value !== "text") body.format = byId("format").value;
    const generation = {};
    if (byId("beam").value) generation.beam_size = Number(byId("beam").value);
    if (byId("length-penalty").value) generation.length_penalty = Number(byId("length-penalty").value);
    if (Object.keys(generation).length) body.generation = generation;
    const keep = byId("keep").value.split(",").map((each) => each.trim()).filter(Boolean);
    if (keep.length) body.keep = keep;
    const glossary = this.#glossary();
    if (glossary.length) body.glossary = Object.fromEntries(glossary);
    return body;
  }

  #glossary() {
    return [...byId("glossary").rows]
      .map((row) => [...row.querySelectorAll("input")].map((input) => input.value.trim()))
      .filter(([term, translation]) => term && translation);
  }

  // -- translating

  /** Translates after a pause; what was asked for before is not wanted any more. */
  soon() {
    this.asked?.abort();
    clearTimeout(this.timer);
    this.swapsNext = false;
    this.#count();
    this.#showSwap();
    const isEmpty = !byId("text").value.trim();
    const isAsked = !isEmpty && this.length() <= this.limit;
    this.#setBusy(isAsked);
    byId("translation").classList.toggle("stale", !isEmpty);
    if (isEmpty) {
      byId("translation").replaceChildren();
      byId("state").textContent = "";
      byId("detected").textContent = "";
      this.shown = null;
      showProblem(byId("problem"), null);
    } else if (isAsked) this.timer = setTimeout(() => this.translate(), PAUSE_MS);
  }

  #isBusy() {
    return byId("translation").ariaBusy === "true";
  }

  /** Screen readers wait for the whole translation. */
  #setBusy(isBusy) {
    byId("translation").setAttribute("aria-busy", String(isBusy));
    byId("state").textContent = isBusy ? "…" : "";
  }

  async translate() {
    const asked = (this.asked = new AbortController());
    const request = this.#request();
    const output = byId("translation");
    this.#setBusy(true);
    const before = output.textContent;
    const written = new Text();
    const rest = element("span", { className: "stale" }); // what was there, until it is written over: nothing jumps
    const onDelta = (text) => {
      if (asked.signal.aborted) return;
      written.data += text;
      rest.textContent = before.slice(written.length);
      if (written.parentNode) return;
      output.classList.remove("stale");
      output.replaceChildren(written, rest);
    };
    try {
      const answer = await stream(request, onDelta, asked.signal);
      if (asked.signal.aborted) return;
      if (this.#isInTarget(request, answer)) return this.translate();
      this.#show(request, answer);
      showProblem(byId("problem"), null);
    } catch (error) {
      if (error.name === "AbortError" || asked.signal.aborted) return;
      this.#setBusy(false);
      this.swapsNext = false;
      showProblem(byId("problem"), error, () => this.translate());
    }
  }

  /** Whether the text turned out to be in the language it was to be translated into; another is chosen. */
  #isInTarget(request, { translations: [only], target }) {
    if (request.source || only.detected_source?.language !== target) return false;
    const [other] = this.languages.targetsOf(target);
    if (!other) return false;
    byId("target").value = other;
    return true;
  }

  #show(request, answer) {
    const [only] = answer.translations;
    const source = request.source ?? only.detected_source?.language ?? answer.source;
    const { return_alignments: _, text, ...rest } = request;
    this.shown = {
      text, translation: only.text, request: rest, source, target: answer.target, alignments: only.alignments ?? [],
    };
    this.#write(only.text);
    byId("detected").textContent =
      request.source || !only.detected_source ? "" : `${this.languages.name(source)} found`;
    this.#setBusy(false);
    if (only.finish_reason === "length") byId("state").textContent = "cut: the model found no end";
    else if (only.text === text) byId("state").textContent = "as it was";
    if (byId("remember").checked) {
      history.add({ text, source, target: answer.target, translation: only.text });
      this.#listHistory();
    }
    if (byId("model").options.length < 2) this.#loadLimits(); // there may be a key by now
    this.#showSwap();
    if (this.swapsNext) this.#swap();
    this.onResult({ text, source, target: answer.target, translation: only.text });
  }

  #write(text) {
    const output = byId("translation");
    output.classList.remove("stale");
    output.replaceChildren(text);
    output.lang = this.shown.target;
  }

  // -- a word or a sentence otherwise

  async #alternatives(place, where) {
    const shown = this.shown;
    if (!shown || this.#isBusy()) return;
    byId("state").textContent = "…";
    try {
      const found = await alternativesAt(shown, place);
      byId("state").textContent = "";
      if (this.shown !== shown) return;
      if (!found) {
        byId("state").textContent = "No alternatives here";
        return;
      }
      this.choice.open(where, found.texts, found.sentence, (text) => {
        const { translation } = shown;
        shown.translation = translation.slice(0, found.begin) + text + translation.slice(found.end);
        shown.alignments = []; // they were those of other words
        this.#write(shown.translation);
        this.onResult(shown);
      });
    } catch (error) {
      byId("state").textContent = "";
      showProblem(byId("problem"), error, () => this.#alternatives(place, where));
    }
  }

  #clicked(event) {
    if (!getSelection().isCollapsed) return; // they mark something
    const caret = document.caretPositionFromPoint?.(event.clientX, event.clientY);
    const node = caret?.offsetNode ?? document.caretRangeFromPoint?.(event.clientX, event.clientY)?.startContainer;
    const offset = caret?.offset ?? document.caretRangeFromPoint?.(event.clientX, event.clientY)?.startOffset;
    if (node?.nodeType === Node.TEXT_NODE && byId("translation").contains(node)) {
      this.#alternatives(offset, { x: event.clientX, y: event.clientY });
    }
  }

  #ofMarked() {
    const selection = getSelection();
    const output = byId("translation");
    const isInside = selection.rangeCount && output.contains(selection.anchorNode);
    const range = isInside ? selection.getRangeAt(0) : null;
    const isMarked = range && !range.collapsed;
    const box = (isMarked ? range : output).getBoundingClientRect();
    const place = range?.startContainer.nodeType === Node.TEXT_NODE ? range.startOffset : 0;
    this.#alternatives(place, { x: box.left, y: isMarked ? box.bottom : box.top + FIRST_LINE });
  }

  // -- the rest of the page

  length() {
    return [...byId("text").value].length;
  }

  #count() {
    const length = this.length();
    const count = byId("count");
    const most = this.limit.toLocaleString();
    count.textContent = Number.isFinite(this.limit) ? `${length.toLocaleString()} of ${most} characters` : "";
    count.classList.toggle("over", length > this.limit);
    if (length > this.limit) count.textContent += ": too long. Drop it here as a document.";
  }

  async #loadLimits() {
    try {
      const { charLimit } = await get("frontend/settings");
      if (charLimit > 0) this.limit = charLimit;
      const { models } = await get("v1/models");
      byId("model").append(...models.map(({ name }) => element("option", { value: name }, name)));
      byId("model").value = settings.get("model");
    } catch {
      // the panes work without them, and say what is too long afterwards
    }
    this.#count();
  }

  #restore() {
    this.languages.fillSources(byId("source"), { auto: true });
    for (const id of REMEMBERED) {
      const kept = settings.get(id);
      if (kept !== "") byId(id).value = kept;
      if (byId(id).value === "" && byId(id).tagName === "SELECT") byId(id).selectedIndex = 0;
    }
    this.languages.fillTargets(byId("target"), byId("source").value);
    const own = navigator.languages.map((each) => each.split("-", 1)[0]);
    for (const code of [settings.get("target"), ...own]) {
      if (code) byId("target").value = code;
      if (byId("target").value) break;
    }
    if (!byId("target").value) byId("target").selectedIndex = 0;
    byId("remember").checked = settings.get("remember", false);
    for (const [term, translation] of settings.get("glossary", [])) this.#addTerm(term, translation);
    if (!byId("glossary").rows.length) this.#addTerm();
    this.#listHistory();
  }

  /** Takes a text and languages from the address. */
  fromFragment() {
    const [view, query] = location.hash.slice(1).split("?", 2);
    if (view !== "translate" || !query) return;
    const given = new URLSearchParams(query);
    this.#choose(given.get("source") ?? AUTO, given.get("target"));
    byId("text").value = given.get("text") ?? "";
    this.soon();
  }

  #choose(source, target) {
    byId("source").value = source;
    if (!byId("source").value) byId("source").value = AUTO;
    this.languages.fillTargets(byId("target"), byId("source").value);
    if (target && [...byId("target").options].some(({ value }) => value === target)) byId("target").value = target;
  }

  #source() {
    return byId("source").value === AUTO ? this.shown?.source : byId("source").value;
  }

  #showSwap() {
    const source = this.#source();
    byId("swap").disabled = Boolean(source) && !this.languages.targetsOf(byId("target").value).includes(source);
  }

  #swap() {
    const source = this.#source();
    const target = byId("target").value;
    if (this.#isBusy()) {
      this.swapsNext = true; // with the whole translation
      return;
    }
    if (!source || !this.languages.targetsOf(target).includes(source)) return;
    this.#choose(target, source);
    if (this.shown) byId("text").value = this.shown.translation;
    this.#keepSettings();
    this.soon();
  }

  #keepSettings() {
    for (const id of REMEMBERED) settings.set(id, byId(id).value);
    settings.set("remember", byId("remember").checked);
    settings.set("glossary", this.#glossary());
  }

  #addTerm(term = "", translation = "") {
    const cells = [["Term", term], ["Translation", translation]].map(([label, value]) =>
      element("td", {}, element("input", { value, "aria-label": label, dir: "auto" })));
    const away = element("button", { type: "button", title: "Remove the term", "aria-label": "Remove the term" }, "×");
    const row = element("tr", {}, ...cells, element("td", {}, away));
    away.addEventListener("click", () => {
      row.remove();
      this.#changed();
    });
    byId("glossary").append(row);
  }

  #listHistory() {
    const entries = byId("remember").checked ? history.all() : [];
    byId("history-side").hidden = !byId("remember").checked;
    byId("history").replaceChildren(...entries.map((entry) => {
      const button = element("button", { type: "button", dir: "auto" }, `${entry.text} → ${entry.translation}`);
      button.addEventListener("click", () => {
        this.#choose(entry.source, entry.target);
        byId("text").value = entry.text;
        this.soon();
      });
      return element("li", {}, button);
    }));
  }

  #changed() {
    this.#keepSettings();
    this.soon();
  }

  #link() {
    const { source, target } = this.#pair();
    const query = new URLSearchParams({ source: source ?? AUTO, target, text: byId("text").value });
    return `${location.origin}${location.pathname}#translate?${query}`;
  }

  #listen() {
    byId("text").addEventListener("input", () => this.soon());
    for (const id of ["source", "model", "beam", "length-penalty", "format", "keep"]) {
      byId(id).addEventListener("change", () => {
        if (id === "source") this.languages.fillTargets(byId("target"), byId("source").value);
        this.#changed();
      });
    }
    byId("target").addEventListener("change", () => this.#changed());
    byId("glossary").addEventListener("change", () => this.#changed());
    byId("add-term").addEventListener("click", () => this.#addTerm());
    byId("remember").addEventListener("change", () => {
      if (!byId("remember").checked) history.clear();
      this.#keepSettings();
      this.#listHistory();
    });
    byId("forget").addEventListener("click", () => {
      history.clear();
      this.#listHistory();
    });
    byId("swap").addEventListener("click", () => this.#swap());
    byId("clear").addEventListener("click", () => this.#clear());
    byId("copy").addEventListener("click", () => copyText(byId("copy"), byId("translation").textContent));
    byId("link").addEventListener("click", () => copyText(byId("link"), this.#link()));
    byId("others").addEventListener("click", () => this.#ofMarked());
    byId("translation").addEventListener("click", (event) => this.#clicked(event));
    document.addEventListener("keydown", (event) => this.#pressed(event));
  }

  #clear() {
    byId("text").select();
    document.execCommand("delete"); // unlike a new value, it can be undone
  }

  #pressed(event) {
    if (byId("translate").hidden) return;
    if (event.key === "Escape" && document.activeElement === byId("text")) this.#clear();
    const action = event.ctrlKey && event.shiftKey && {
      S: () => this.#swap(), C: () => byId("copy").click(), A: () => this.#ofMarked(),
    }[event.key.toUpperCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }
}
