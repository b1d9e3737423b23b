// Other ways to say a sentence of a translation, or a word of it.
import { post } from "./api.js";
import { element } from "./elements.js";
import { fromCodePoints, sentenceAt, wordAt } from "./sentences.js";

const NUM_HYPOTHESES = 5;

/**
 * The sentence of the source that a part of the translation comes from, by the alignments of the answer.
 * @returns its bounds, or null where nothing is aligned
 */
function sourceOf(source, translation, alignments, part, language) {
  const inSource = fromCodePoints(source);
  const inTarget = fromCodePoints(translation);
  const places = alignments
    .filter(({ target }) => inTarget(target[0]) >= part.begin && inTarget(target[1]) <= part.end)
    .map(({ source: [begin] }) => inSource(begin))
    .sort((one, other) => one - other);
  if (!places.length) return null;
  return sentenceAt(source, places[places.length >> 1], language);
}

/** Sentences that say the same, in the order of the model's liking; those of a word differ there. */
export async function alternativesAt(shown, place, signal) {
  const { text, translation, request, source, target, alignments } = shown;
  const part = sentenceAt(translation, place, target);
  const from = sourceOf(text, translation, alignments, part, source);
  if (!from) return null;
  const sentence = translation.slice(part.begin, part.end);
  const word = wordAt(translation, place, target);
  const beam = Math.max(NUM_HYPOTHESES, request.generation?.beam_size ?? 0);
  const asked = {
    ...request, source, target, text: text.slice(from.begin, from.end), format: "text",
    generation: { ...request.generation, beam_size: beam, num_hypotheses: NUM_HYPOTHESES },
  };
  delete asked.keep;
  const wishes = [post("v1/translate", asked, signal)];
  if (word) {
    const prefix = translation.slice(part.begin, word.begin).trimEnd();
    const banned = [translation.slice(word.begin, word.end)];
    wishes.unshift(post("v1/translate", { ...asked, target_prefix: prefix, banned_terms: banned }, signal));
  }
  const answers = await Promise.allSettled(wishes);
  if (answers.every((answer) => answer.status === "rejected")) throw answers[0].reason;
  const texts = answers
    .filter((answer) => answer.status === "fulfilled")
    .flatMap(({ value: { translations: [only] } }) => (only.hypotheses?.length ? only.hypotheses : [only]))
    .map((each) => each.text);
  return { ...part, sentence, texts: [...new Set(texts)].filter((each) => each !== sentence) };
}

/** A list to choose from, beside a place of the page; arrows move, Escape leaves. */
export class Choice {
  constructor(box) {
    this.box = box;
    this.leave = () => {};
    box.addEventListener("keydown", (event) => this.#move(event));
    document.addEventListener("pointerdown", (event) => {
      if (!box.hidden && !box.contains(event.target)) this.close();
    });
  }

  /** Shows `texts`, what differs from `sentence` in bold, and calls `choose` with the one taken. */
  open({ x, y }, texts, sentence, choose) {
    this.leave = () => document.querySelector("#translation").focus();
    const options = texts.map((text) => {
      const option = element("div", { role: "option", tabIndex: 0, dir: "auto", "aria-selected": "false" });
      option.append(...differing(text, sentence));
      const take = () => {
        this.close();
        choose(text);
      };
      option.addEventListener("click", take);
      option.addEventListener("keydown", (event) => event.key === "Enter" && take());
      return option;
    });
    const nothing = element("div", { role: "option", "aria-disabled": "true", "aria-selected": "false", tabIndex: 0 },
      "The model has no other way to say it.");
    this.box.replaceChildren(...(options.length ? options : [nothing]));
    this.box.hidden = false;
    const width = this.box.offsetWidth;
    this.box.style.left = `${Math.max(4, Math.min(x, document.documentElement.clientWidth - width - 4)) + scrollX}px`;
    this.box.style.top = `${y + scrollY + 4}px`;
    this.box.firstChild.focus({ preventScroll: false });
  }

  close() {
    if (this.box.hidden) return;
    this.box.hidden = true;
    this.leave();
  }

  #move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") this.close();
    else if (step) {
      const all = [...this.box.children];
      all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
    } else return;
    event.preventDefault();
  }
}

/** The words of `text`, those in bold that `other` does not share at its ends. */
function differing(text, other) {
  const words = text.split(/(\s+)/);
  const others = other.split(/(\s+)/);
  let first = 0;
  while (first < words.length && words[first] === others[first]) first++;
  let last = words.length;
  while (last > first && words[last - 1] === others[others.length - words.length + last - 1]) last--;
  return [words.slice(0, first).join(""), element("b", {}, words.slice(first, last).join("")), words.slice(last).join("")];
}
