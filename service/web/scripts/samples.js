// Programs that do what was just done here.
import { byId, copyText, element } from "./elements.js";

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export const programs = ({ text, source, target }, url) => [
  ["curl", `curl ${url}/v1/translate -H 'Content-Type: application/json' \\
  -d ${shell(JSON.stringify({ text, source, target }))}`],
  ["Python", `import json, urllib.request

request = urllib.request.Request(
    ${JSON.stringify(`${url}/v1/translate`)},
    json.dumps({"text": ${JSON.stringify(text)}, "source": "${source}", "target": "${target}"}).encode(),
    {"Content-Type": "application/json"},
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["translations"][0]["text"])`],
  ["JavaScript", `const answer = await fetch(${JSON.stringify(`${url}/v1/translate`)}, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(${JSON.stringify({ text, source, target })}),
});
console.log((await answer.json()).translations[0].text);`],
  ["DeepL's client for Python", `import deepl

client = deepl.Translator("any", server_url=${JSON.stringify(url)})
print(client.translate_text(${JSON.stringify(text)}, source_lang="${source.toUpperCase()}", target_lang="${target.toUpperCase()}"))`],
  ["LibreTranslate's client for Python", `from libretranslatepy import LibreTranslateAPI

print(LibreTranslateAPI(${JSON.stringify(`${url}/`)}).translate(${JSON.stringify(text)}, "${source}", "${target}"))`],
];

export function showSamples(translated) {
  const url = (location.origin + location.pathname).replace(/\/$/, "");
  byId("samples").replaceChildren(...programs(translated, url).map(([name, code]) => {
    const copy = element("button", { type: "button" }, "Copy");
    copy.addEventListener("click", () => copyText(copy, code));
    const shown = element("pre", { tabIndex: 0, "aria-label": name }, element("code", {}, code));
    return element("div", { className: "sample" }, element("h2", {}, name, copy), shown);
  }));
}
