// Documents that are dropped or chosen: sent, watched, fetched.
import { download, get, remove, upload } from "./api.js";
import { byId, element, save, showProblem } from "./elements.js";

const PAUSE_MS = 700;

export class Documents {
  /** @param pair gives the languages of now */
  constructor(list, pair) {
    this.list = list;
    this.pair = pair;
    const pane = byId("text").parentElement;
    pane.addEventListener("dragover", (event) => {
      event.preventDefault();
      pane.classList.add("dropping");
    });
    pane.addEventListener("dragleave", () => pane.classList.remove("dropping"));
    pane.addEventListener("drop", (event) => {
      pane.classList.remove("dropping");
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      for (const file of event.dataTransfer.files) this.translate(file);
    });
    byId("open-file").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", () => {
      for (const file of byId("file").files) this.translate(file);
      byId("file").value = "";
    });
  }

  async translate(file) {
    const bar = element("progress", { max: 1, "aria-label": `Progress of ${file.name}` });
    const said = element("span", { className: "quiet", role: "status" }, "sending");
    const away = element("button", { type: "button" }, "Cancel");
    const row = element("li", {}, element("span", {}, file.name), bar, said, away);
    this.list.append(row);
    let job = null;
    let isWanted = true;
    away.addEventListener("click", () => {
      isWanted = false;
      row.remove();
      if (job) remove(`v1/documents/${job.id}`).catch(() => {});
    });
    try {
      const { source, target } = this.pair();
      job = await upload(file, source ? { source, target } : { target });
      while (isWanted && !["done", "failed", "cancelled"].includes(job.state)) {
        bar.value = job.progress ?? 0;
        said.textContent = job.state === "translating" ? `${Math.round(100 * (job.progress ?? 0))} %` : job.state;
        await new Promise((go) => setTimeout(go, PAUSE_MS));
        job = await get(`v1/documents/${job.id}`);
      }
      if (!isWanted) return;
      bar.remove();
      if (job.state !== "done") throw new Error(job.problem ?? "The document was not translated.");
      said.textContent = "";
      const fetched = element("button", { type: "button", className: "main" }, "Save");
      fetched.addEventListener("click", async () => {
        try {
          save(job.result_name ?? file.name, await download(`v1/documents/${job.id}/result`));
        } catch (error) {
          said.textContent = error.message;
        }
      });
      away.textContent = "Remove";
      row.insertBefore(fetched, away);
    } catch (error) {
      if (!isWanted) return;
      if (error.status === 401) {
        row.remove();
        showProblem(byId("problem"), error, () => {
          showProblem(byId("problem"), null);
          this.translate(file);
        });
        return;
      }
      bar.remove();
      said.textContent = error.message;
      away.textContent = "Remove";
    }
  }
}
