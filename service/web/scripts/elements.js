// Elements of the page. Texts become text nodes, never markup.

export const byId = (id) => document.getElementById(id);

/** A new element with properties (`dataset` and `aria-...` as well) and children: elements or texts. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role" || key === "colspan") made.setAttribute(key, value);
    else if (key === "dataset") Object.assign(made.dataset, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

/** Offers `data` as a file. */
export function save(name, data, type) {
  const url = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Shows an error in plain words, with a way to try again; nothing hides it. */
export function showProblem(box, error, retry) {
  box.hidden = !error;
  box.replaceChildren();
  if (!error) return;
  box.append(error.message);
  if (retry && error.canRetry) {
    const button = element("button", { type: "button" }, "Try again");
    button.addEventListener("click", retry);
    box.append(button);
  }
}
