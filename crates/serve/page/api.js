// The server's API as the page uses it: one question about one image, streamed.

const KEY = "visionthink.key";

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** Why there is no answer, in words for whoever asked. */
export class Refusal extends Error {
  constructor(message, { wantsKey = false, aside = "" } = {}) {
    super(message);
    this.wantsKey = wantsKey;
    this.aside = aside;
  }
}

function headers() {
  const held = key.get();
  return { "content-type": "application/json", ...(held && { authorization: `Bearer ${held}` }) };
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: headers() });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server cannot be reached.", { aside: "It may have been stopped." });
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw refusal(body.error ?? {}, response.status, response.headers.get("retry-after"));
}

/** An error in OpenAI's shape as a sentence, with what the server itself says behind it. */
function refusal(error, status, after) {
  const aside = error.message ?? `status ${status}`;
  const again = after ? ` It can be asked again in ${after} s.` : "";
  const sentences = {
    invalid_api_key: key.get() ? "The server does not know this API key." : "The server wants an API key.",
    invalid_image: "The server cannot use this image.",
    body_too_large: "The image is too large for this server.",
    rate_limit_exceeded: `The server is busy.${again}`,
    no_upstream: `No model is there to answer.${again}`,
    loading: `The model is still being loaded.${again}`,
    engine_failed: "The engine failed.",
    shutting_down: "The server is about to stop.",
    timeout: "The answer took too long.",
    upstream_failed: "The model's server failed.",
    upstream_refused: "The model's server refused the request.",
    client_stalled: "The answer was read too slowly.",
  };
  const otherwise = status >= 500 ? "The server failed." : "The server does not take this request.";
  return new Refusal(sentences[error.code] ?? otherwise, { wantsKey: error.code === "invalid_api_key", aside });
}

/** The name of the model that is served. */
export async function model() {
  const response = await send("/v1/models", {});
  return (await response.json()).data[0].id;
}

/** The body of a request. The page shows a result again and again, so it asks for the most likely words. */
export function request({ model, url, question, mode }) {
  const content = [{ type: "image_url", image_url: { url } }, { type: "text", text: question }];
  return {
    model,
    messages: [{ role: "user", content }],
    temperature: 0,
    seed: 0,
    stream: true,
    stream_options: { include_usage: true },
    visionthink: { mode, show_turns: true },
  };
}

/** Asks, and hands on each chunk as it comes. */
export async function ask(body, { signal, onChunk }) {
  const response = await send("/v1/chat/completions", { method: "POST", body: JSON.stringify(body), signal });
  const broken = new Refusal("The connection broke off before the answer was whole.");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : broken;
    });
    if (done) throw broken;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      if (!event.startsWith("data: ")) continue;
      const data = event.slice("data: ".length);
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw refusal(chunk.error, 500, null);
      onChunk(chunk);
    }
  }
}
