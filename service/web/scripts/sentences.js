// Where a text has its sentences and words, in UTF-16 as JavaScript counts, and code points as the API does.

function parts(text, language, granularity) {
  let segmenter;
  try {
    segmenter = new Intl.Segmenter(language, { granularity });
  } catch {
    segmenter = new Intl.Segmenter("en", { granularity });
  }
  return segmenter.segment(text);
}

/** The sentence with a place in it, without white space at its ends. */
export function sentenceAt(text, place, language) {
  const found = parts(text, language, "sentence").containing(Math.min(place, text.length - 1));
  if (!found) return { begin: 0, end: text.length };
  // A line break ends a sentence as well.
  const before = text.slice(found.index, place).lastIndexOf("\n") + 1;
  const segment = found.segment.slice(before).split("\n", 1)[0];
  const begin = found.index + before + segment.length - segment.trimStart().length;
  return { begin, end: begin + segment.trim().length };
}

/** The word at a place, or null between words. */
export function wordAt(text, place, language) {
  const found = parts(text, language, "word").containing(place);
  return found?.isWordLike ? { begin: found.index, end: found.index + found.segment.length } : null;
}

/** A function from places in code points to those in UTF-16. */
export function fromCodePoints(text) {
  if (!/[\ud800-\udbff]/.test(text)) return (place) => place;
  const places = [];
  let at = 0;
  for (const sign of text) {
    places.push(at);
    at += sign.length;
  }
  places.push(at);
  return (place) => places[Math.min(place, places.length - 1)];
}
