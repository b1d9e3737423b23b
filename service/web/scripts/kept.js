// What this browser remembers, if it may: settings, and on request the history. Nothing of it is sent.

const MOST = 50;
const MOST_CHARACTERS = 2000;

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // no storage, or a full one: nothing is remembered
  }
}

export const settings = {
  get: (name, otherwise = "") => read("settings", {})[name] ?? otherwise,
  set: (name, value) => write("settings", { ...read("settings", {}), [name]: value }),
};

export const history = {
  all: () => read("history", []),
  /** Adds an entry; what was typed on to it replaces it. */
  add(entry) {
    if (entry.text.length > MOST_CHARACTERS) return;
    const isPart = (old) => entry.text.startsWith(old.text) || old.text.startsWith(entry.text);
    const rest = this.all().filter((old, place) => old.text !== entry.text && !(place === 0 && isPart(old)));
    write("history", [entry, ...rest].slice(0, MOST));
  },
  clear: () => write("history", []),
};
