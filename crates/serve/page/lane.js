// One run of one question: the looks, what was thought in each, the call, the answer, what it cost.

import { ask } from "./api.js";

export const NAMES = { adaptive: "Adaptive", low: "Small only", full: "Full only" };
const STEPS = { low: "Sees a quarter of the pixels", full: "Sees the full image" };

export const count = (number) => number.toLocaleString("en");
export const made = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
export const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`);

const copy = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

/** Columns and rows that `tokens` cells make in an image of this shape; nothing where they make none. */
function cells(tokens, width, height) {
  let best = null;
  for (let columns = 1; columns <= tokens; columns += 1) {
    if (tokens % columns) continue;
    const off = Math.abs(Math.log((columns * columns * height) / (tokens * width)));
    if (!best || off < best.off) best = { columns, rows: tokens / columns, off };
  }
  return best && best.off < 0.3 ? best : null;
}

export class Lane {
  /** `views` are the two pictures, `{low, full}`, each with `url`, `width` and `height`; `say` tells those who listen. */
  constructor({ mode, views, say }) {
    Object.assign(this, { mode, views, say, looks: [], answer: "", tokens: 0, prompt: 0, cached: 0 });
    this.element = copy("lane");
    this.element.dataset.mode = mode;
    this.find("h2").textContent = NAMES[mode];
    this.state("waiting");
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  state(name) {
    this.element.dataset.state = name;
  }

  /** Runs to the end. What goes wrong is shown here and thrown on. */
  async run(body, signal) {
    const began = performance.now();
    const since = () => performance.now() - began;
    this.state("running");
    try {
      await ask(body, { signal, onChunk: (chunk) => this.take(chunk, since) });
      this.total = since();
      this.finish();
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  take(chunk, since) {
    const { turn, views, samples } = chunk.visionthink ?? {};
    if (turn) this.look(views.at(-1), turn);
    if (samples) [this.report] = samples;
    if (chunk.usage) {
      this.prompt = chunk.usage.prompt_tokens;
      this.cached = chunk.usage.prompt_tokens_details.cached_tokens;
      this.tokens = chunk.usage.completion_tokens;
    }
    const { reasoning_content: thought, content } = chunk.choices[0]?.delta ?? {};
    if (!thought && !content) return;
    this.first ??= since();
    const said = thought && this.looks.at(-1)?.querySelector(".thought");
    if (said) said.textContent = (said.textContent + thought).trimStart();
    if (content) {
      this.answer += content;
      this.find(".answer").textContent = this.answer.trim();
    }
  }

  /** The model has a view before it. A second one it has asked for. */
  look(view, turn) {
    const before = this.looks.at(-1);
    if (before && turn > 1 && view !== "full") {
      const call = before.querySelector(".call");
      call.hidden = false;
      call.textContent = "its call could not be read";
      return;
    }
    if (before && turn > 1) {
      before.dataset.call = "yes";
      const call = before.querySelector(".call");
      call.hidden = false;
      call.textContent = "asks for the full image";
      this.say("The model asks for the full image.");
    }
    const element = copy("look");
    const { url, width, height } = this.views[view];
    element.dataset.view = view;
    const image = element.querySelector("img");
    Object.assign(image, { src: url, width, height, alt: view === "low" ? "The image at half its width and height" : "The full image" });
    element.querySelector(".step").textContent = STEPS[view];
    element.querySelector("figcaption").textContent = `${width} × ${height}`;
    element.querySelector(".frame").style.setProperty("--ratio", width / height);
    this.looks.push(element);
    this.find(".looks").append(element);
    if (turn === 1) this.say(`${NAMES[this.mode]}: the model ${STEPS[view].toLowerCase()}.`);
  }

  finish() {
    const { decision, image_tokens: seen, full_image_tokens: full, transcript } = this.report ?? {};
    this.state("done");
    this.element.dataset.decision = decision;
    this.seen = seen;
    this.full = full;
    const answer = this.answer.trim();
    if (!answer) this.find(".answer").textContent = "no answer";
    this.element.classList.toggle("silent", !answer);
    const asides = {
      direct: "Answered from the small image.",
      resize: "Answered after a second look.",
      malformed: "Its call could not be read.",
    };
    this.find(".aside").textContent = asides[decision] ?? "";
    if (seen !== undefined) this.lattice(seen, full);
    if (decision === "direct") this.spare();
    if (transcript) {
      this.find(".transcript").hidden = false;
      this.find("pre").textContent = transcript.map((turn, index) => `${index + 1}  ${turn.text}`).join("\n\n");
    }
    this.say(`${NAMES[this.mode]}: ${answer || "no answer"}. ${asides[decision] ?? ""}`);
  }

  /** The look that was not needed. */
  spare() {
    const { width, height } = this.views.full;
    const element = copy("look");
    element.dataset.view = "none";
    element.querySelector("img").remove();
    element.querySelector(".frame").style.setProperty("--ratio", width / height);
    element.querySelector(".step").textContent = "The full image was not needed";
    const known = this.seen !== undefined;
    element.querySelector("figcaption").textContent = known ? `${count(this.full - this.seen)} tokens saved` : "";
    this.find(".looks").append(element);
  }

  /** Each cell of an image is one token. */
  lattice(seen, full) {
    const low = this.looks.some((look) => look.dataset.view === "full") && this.looks.length > 1 ? seen - full : seen;
    for (const look of this.looks) {
      const view = this.views[look.dataset.view];
      const tokens = look.dataset.view === "low" ? low : full;
      look.querySelector("figcaption").textContent += `, ${count(tokens)} ${tokens === 1 ? "token" : "tokens"}`;
      const found = cells(tokens, view.width, view.height);
      if (!found || Math.max(found.columns, found.rows) > 48) continue;
      const frame = look.querySelector(".frame");
      frame.classList.add("counted");
      frame.style.setProperty("--columns", found.columns);
      frame.style.setProperty("--rows", found.rows);
    }
  }

  fail(error) {
    const stopped = error.name === "AbortError";
    this.state(stopped ? "stopped" : "failed");
    this.find(".answer").textContent = stopped ? "stopped" : error.message;
    this.find(".aside").textContent = error.aside ?? "";
    this.say(stopped ? "Stopped." : error.message);
  }
}
