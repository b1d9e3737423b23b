// Requests to the service that has served this page, by relative addresses: a proxy may add a prefix.

/** What went wrong, in words for a person. */
export class Problem extends Error {
  constructor(message, { status = 0, field = null, canRetry = false, wait = 0 } = {}) {
    super(message);
    Object.assign(this, { status, field, canRetry, wait });
  }
}

async function problemOf(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // not by us: a proxy's page, say
  }
  const message = typeof error === "string" ? error : error.message;
  if (response.status === 401) {
    return new Problem(key() ? "This key is not valid." : "This service asks for a key.", { status: 401 });
  }
  const wait = Number(response.headers.get("Retry-After")) || 0;
  const canRetry = response.status >= 500 || response.status === 429 || response.status === 408;
  const said = {
    413: "The text is too long.",
    429: `Too many requests${wait ? `: try again in ${wait} s` : ""}.`,
    503: "The service has too much to do just now.",
    504: "The service took too long.",
  }[response.status];
  const words = [said, message && `${message[0].toUpperCase()}${message.slice(1)}.`].filter(Boolean);
  return new Problem(words.join(" ") || `The service answered ${response.status}.`, {
    status: response.status, field: error.field ?? null, canRetry, wait,
  });
}

const key = () => sessionStorage.getItem("key");

async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (key()) headers.Authorization = `Bearer ${key()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service cannot be reached.", { canRetry: true });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

const asJson = (body) => ({
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
});

export const get = async (path, signal) => (await send(path, { signal })).json();
export const post = async (path, body, signal) => (await send(path, { ...asJson(body), signal })).json();

/**
 * Translates and tells of each piece of the text as soon as it is decided.
 * @returns the whole answer
 */
export async function stream(body, onDelta, signal) {
  const response = await send("v1/translate", { ...asJson({ ...body, stream: true }), signal });
  let result = null;
  try {
    for await (const { event, data } of events(response.body)) {
      if (event === "delta") onDelta(data.text, data.index);
      else if (event === "result") result = data;
      else if (event === "error") {
        throw new Problem(data.error?.message ?? "The translation broke off.", { canRetry: true });
      }
    }
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    throw new Problem("The connection to the service broke.", { canRetry: true });
  }
  if (!result) throw new Problem("The translation broke off.", { canRetry: true });
  return result;
}

/** The server-sent events of a body (HTML standard, section 9.2): as many as we need of their grammar. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      let event = "message";
      const data = [];
      for (const line of block.split(/\r?\n/)) {
        const [, name, text] = /^([^:]*):? ?(.*)$/.exec(line);
        if (name === "event") event = text;
        else if (name === "data") data.push(text);
      }
      if (data.length) yield { event, data: JSON.parse(data.join("\n")) };
    }
  }
}

/** What the service does, as events, until the signal ends it. */
export async function* live(signal) {
  let response;
  try {
    response = await send("v1/live?reports=3600", { signal });
  } catch (error) {
    if (error.status === 404) error.message = "This service does not let itself be watched (its setting max_watchers).";
    throw error;
  }
  try {
    yield* events(response.body);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The connection to the service broke.", { canRetry: true });
  }
}

export async function upload(file, fields, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("file", file);
  try {
    return await (await send("v1/documents", { method: "POST", body: form, signal })).json();
  } catch (error) {
    if (error.status === 404) error.message = "This service translates no documents. Paste the text instead.";
    throw error;
  }
}

export const download = async (path) => (await send(path)).blob();
export const remove = async (path) => void (await send(path, { method: "DELETE" }));
