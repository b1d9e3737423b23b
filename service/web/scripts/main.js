// The page: its views, by the fragment of the address; its colours.
import { byId, element } from "./elements.js";
import { InsideView } from "./inside.js";
import { settings } from "./kept.js";
import { Languages } from "./languages.js";
import { showSamples } from "./samples.js";
import { TranslateView } from "./translate.js";
import { WatchView } from "./watch.js";

const RETRY_MS = 2000;
const views = [...document.querySelectorAll(".view")];
const watch = new WatchView();
let last = { text: "Good morning!", source: "en", target: "de" };

function showView() {
  const wanted = location.hash.slice(1).split("?", 1)[0];
  const shown = views.find(({ id }) => id === wanted) ?? views[0];
  for (const view of views) view.hidden = view !== shown;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === shown.id) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (shown.id === "use") showSamples(last);
  watch.show(shown.id === "watch");
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** The languages, for which it waits: a service that starts has none yet. */
async function languages() {
  const box = byId("problem");
  for (;;) {
    try {
      const found = await Languages.load();
      if (found.sources.length) {
        box.hidden = true;
        return found;
      }
      throw new Error("The service has no model yet.");
    } catch (error) {
      const said = `${error.message} Trying again…`;
      box.hidden = false;
      if (box.textContent !== said) box.textContent = said; // screen readers tell it once
    }
    await new Promise((go) => setTimeout(go, RETRY_MS));
  }
}

byId("theme").value = settings.get("theme", "auto");
setTheme(byId("theme").value);
showView();
addEventListener("hashchange", showView);

const served = await languages();
const inside = new InsideView(served);
const translate = new TranslateView(served, (result) => (last = result));
addEventListener("hashchange", () => translate.fromFragment());
byId("theme").addEventListener("change", () => {
  settings.set("theme", byId("theme").value);
  setTheme(byId("theme").value);
  inside.redraw();
});
byId("look").addEventListener("click", () => {
  location.hash = "inside";
  if (translate.shown) inside.show(translate.shown);
});
document.documentElement.dataset.ready = "true";
