// The languages that are served, and which can be translated into which.
import { get } from "./api.js";
import { element } from "./elements.js";

export const AUTO = "auto";
const names = new Intl.DisplayNames([navigator.language, "en"], { type: "language", fallback: "none" });

const nameOf = ({ code, name }) => {
  try {
    return names.of(code) ?? name;
  } catch {
    return name; // no code that the browser knows
  }
};

export class Languages {
  static async load() {
    return new Languages(await get("languages"));
  }

  constructor(listed) {
    this.sources = listed.map((each) => ({ code: each.code, name: nameOf(each), targets: each.targets }));
    this.sources.sort((one, other) => one.name.localeCompare(other.name));
  }

  name(code) {
    return this.sources.find((each) => each.code === code)?.name ?? nameOf({ code, name: code });
  }

  targetsOf(source) {
    const chosen = this.sources.filter((each) => source === AUTO || each.code === source);
    const codes = new Set(chosen.flatMap((each) => each.targets.filter((code) => code !== each.code)));
    return [...codes].sort((one, other) => this.name(one).localeCompare(this.name(other)));
  }

  fillSources(select, { auto }) {
    const options = this.sources.map(({ code, name }) => element("option", { value: code }, name));
    if (auto) options.unshift(element("option", { value: AUTO }, "Detect language"));
    select.replaceChildren(...options);
  }

  /** Fills in the targets of a source, and keeps what was chosen if it can be had. */
  fillTargets(select, source) {
    const before = select.value;
    const codes = this.targetsOf(source);
    select.replaceChildren(...codes.map((code) => element("option", { value: code }, this.name(code))));
    if (codes.includes(before)) select.value = before;
  }
}
