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

/** Copies a text, and says so on the button. */
export async function copyText(button, text) {
  const words = (button.dataset.words ??= button.textContent);
  button.textContent = (await isCopied(text)) ? "Copied" : "Not allowed";
  setTimeout(() => (button.textContent = words), 1200);
}

async function isCopied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // A browser has no clipboard for pages that came without TLS from another machine.
    const box = element("textarea", { className: "unseen", value: text });
    const before = document.activeElement;
    document.body.append(box);
    box.select();
    const isDone = document.execCommand("copy");
    box.remove();
    before?.focus();
    return isDone;
  }
}

/** Shows an error in plain words, with a way to try again, or to give a key; nothing hides it. */
export function showProblem(box, error, retry) {
  box.hidden = !error;
  box.replaceChildren();
  if (!error) return;
  box.append(error.message);
  if (error.status === 401 || error.status === 403) box.append(keyForm(retry));
  if (retry && error.canRetry) {
    const button = element("button", { type: "button" }, "Try again");
    button.addEventListener("click", retry);
    box.append(button);
  }
}

/** Asks for a key, which this tab keeps until it is closed. */
function keyForm(retry) {
  const input = element("input", { type: "password", autocomplete: "off", required: true });
  const form = element("form", { className: "row" }, element("label", {}, "API key ", input),
    element("button", { className: "main" }, "Use it"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("key", input.value.trim());
    form.closest(".view").querySelector("textarea, input:not([type=password])")?.focus();
    retry();
  });
  return form;
}
