// The page: what is chosen and asked, and what is shown of it.

import * as api from "./api.js";
import { Lane, NAMES, count, duration, made } from "./lane.js";
import { table, verdict } from "./outcome.js";
import { open } from "./picture.js";
import * as recent from "./recent.js";

const at = (id) => document.getElementById(id);
const status = at("status");
const say = (text) => {
  status.textContent = text;
};

const MEANS = {
  adaptive: "The model sees the image at half its width and height, and may ask for all of it.",
  low: "The model sees the image at half its width and height and has to answer from that.",
  full: "The model sees the whole image at once, as it would without this server.",
  compare: "Adaptive first, then the full image, to see what was saved.",
};

let served = null;
let picture = null;
let example = null;
let choosing = 0;
let running = null;

// Pictures.

/** Takes a file as the image. `known` is a question about it with its answer. Says whether that came about: a later choice wins. */
async function choose(blob, known = null) {
  fault();
  choosing += 1;
  const turn = choosing;
  const file = await blob;
  const opened = await open(file);
  if (turn !== choosing) return false;
  if (!opened) {
    fault("This file is no image that can be read here. PNG, JPEG, WebP, GIF and BMP can.");
    return false;
  }
  picture = opened;
  example = known;
  const { url, width, height } = picture.views.full;
  Object.assign(at("preview"), { src: url, hidden: false, alt: "The chosen image" });
  at("drop").classList.add("filled");
  at("chosen").textContent = `${count(width)} × ${count(height)} pixels, ${count(Math.ceil(file.size / 1024))} KB`;
  mark(null);
  return true;
}

/** Says which example the chosen image is. */
function mark(id) {
  for (const button of at("examples").querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.id === id);
}

async function pick(drawn) {
  const fetched = fetch(`/page/examples/${drawn.id}.png`).then((response) => response.blob());
  if (!(await choose(fetched, drawn))) return;
  at("question").value = drawn.question;
  mark(drawn.id);
}

async function showExamples() {
  const examples = await (await fetch("/page/examples.json")).json();
  for (const drawn of examples) {
    const image = made("img", { src: `/page/examples/${drawn.id}.png`, alt: "", width: 112, height: 112 });
    const text = made("span", { textContent: drawn.question });
    const need = made("small", { textContent: drawn.needs_full ? "needs the full image" : "a quarter is enough" });
    const button = made("button", { type: "button", onclick: () => pick(drawn) }, image, text, need);
    button.dataset.id = drawn.id;
    at("examples").append(made("li", {}, button));
  }
  return examples;
}

// Asking.

function fault(text = "") {
  at("fault").textContent = text;
}

const chosenMode = () => at("form").elements.mode.value;

/** What is missing before anything can be asked, and where to put it. */
function missing() {
  if (!picture) return ["Choose an image first.", "file"];
  if (!at("question").value.trim()) return ["Ask something about the image.", "question"];
  if (!served) return at("lock").hidden ? [at("fault").textContent, "ask"] : [at("fault").textContent || "Give an API key first.", "key"];
  return null;
}

async function submit() {
  if (running) return;
  if (!served) await connect();
  // Pressed twice while the model's name was on its way.
  if (running) return;
  const lack = missing();
  if (lack) {
    fault(lack[0]);
    at(lack[1]).focus();
    return;
  }
  fault();
  const asked = { model: served, url: picture.url, question: at("question").value.trim() };
  const modes = chosenMode() === "compare" ? ["adaptive", "full"] : [chosenMode()];
  const lanes = modes.map((mode) => new Lane({ mode, views: picture.views, say }));
  // A question of one's own about an example has no known answer.
  const answer = example?.question === asked.question ? example.answer : null;
  const about = { ...picture, question: asked.question, answer };
  show(lanes);
  curl(api.request({ ...asked, mode: modes[0] }));
  running = new AbortController();
  working(true);
  try {
    // One after the other: side by side they would share the machine, and the times would mean nothing.
    for (const lane of lanes) await lane.run(api.request({ ...asked, mode: lane.mode }), running.signal);
    at("verdict").textContent = verdict(lanes, answer);
    at("counts").replaceChildren(table(lanes));
    await recent.keep(entry(lanes, about));
    await showRecent();
  } catch (error) {
    for (const lane of lanes) if (lane.element.dataset.state === "waiting") lane.element.remove();
    if (error.wantsKey) unlock();
    else if (!(error instanceof api.Refusal) && error.name !== "AbortError") throw error;
  } finally {
    running = null;
    working(false);
  }
}

function working(on) {
  at("ask").disabled = on;
  at("ask").textContent = on ? "Asking…" : "Ask";
  at("stop").hidden = !on;
  at("run").setAttribute("aria-busy", on);
}

function show(lanes) {
  at("run").hidden = false;
  at("verdict").textContent = "";
  at("counts").replaceChildren();
  at("lanes").replaceChildren(...lanes.map((lane) => lane.element));
  at("lanes").classList.toggle("pair", lanes.length > 1);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  at("run").scrollIntoView({ behavior: still ? "auto" : "smooth", block: "nearest" });
}

function curl(body) {
  const { stream, stream_options, ...whole } = structuredClone(body);
  whole.messages[0].content[0].image_url.url = `${picture.url.slice(0, picture.url.indexOf(",") + 1)}…`;
  const quoted = JSON.stringify(whole, null, 2).replaceAll("'", "'\\''");
  const held = api.key.get() ? ` \\\n  -H "authorization: Bearer $KEY"` : "";
  at("curl").textContent = `curl ${location.origin}/v1/chat/completions \\\n  -H 'content-type: application/json'${held} \\\n  -d '${quoted}'`;
}

// Recent requests.

function entry(lanes, { blob, thumb, question, answer: known }) {
  const lines = lanes.map(({ mode, answer, report, seen, full, total }) => {
    return { mode, answer: answer.trim(), decision: report?.decision, seen, full, total };
  });
  return { at: Date.now(), image: blob, thumb, question, answer: known, lines };
}

const OUTCOMES = { direct: "from the small image", resize: "asked for the full image", malformed: "a call that could not be read" };

async function showRecent() {
  const kept = await recent.all();
  at("recent").hidden = !kept.length;
  at("gallery").replaceChildren(...kept.map(card));
}

function card(kept) {
  const [line] = kept.lines;
  const tokens = line.seen === undefined ? null : `${count(line.seen)} image tokens, full ${count(line.full)}`;
  const facts = [OUTCOMES[line.decision] ?? NAMES[line.mode].toLowerCase(), tokens, duration(line.total)].filter(Boolean);
  const image = made("img", { src: kept.thumb, alt: "" });
  const asked = made("span", { className: "asked", textContent: kept.question });
  const answer = made("b", { textContent: line.answer || "no answer" });
  const button = made("button", { type: "button", title: "Ask this again" }, image, asked, answer, made("small", { textContent: facts.join(" · ") }));
  button.dataset.decision = line.decision;
  button.onclick = async () => {
    if (kept.image) await choose(kept.image, kept);
    at("question").value = kept.question;
    at("ask").focus();
  };
  return made("li", {}, button);
}

// The server, and its key.

function unlock() {
  at("lock").hidden = false;
  at("key").focus();
}

/** Learns the name of the model, and with it whether the server answers and knows the key. */
async function connect() {
  try {
    served = await api.model();
    at("model").textContent = served;
    fault();
  } catch (error) {
    at("model").textContent = "unknown";
    if (error.wantsKey) at("lock").hidden = false;
    fault(error.wantsKey && !api.key.get() ? "" : error.message);
  }
}

// Light and dark.

const dark = matchMedia("(prefers-color-scheme: dark)");

function paint(theme) {
  const now = theme ?? (dark.matches ? "dark" : "light");
  if (theme) document.documentElement.dataset.theme = theme;
  at("theme").textContent = now === "dark" ? "Light" : "Dark";
  at("theme").onclick = () => {
    const other = now === "dark" ? "light" : "dark";
    localStorage.setItem("visionthink.theme", other);
    paint(other);
  };
}

// A closer look: all frames show the same place, at the pixels of the full image or three times as large.

function loupe(event) {
  const frame = event.pointerType === "touch" ? null : event.target.closest?.(".frame");
  at("lanes").classList.toggle("close", Boolean(frame));
  if (!frame || !picture) return;
  const box = frame.getBoundingClientRect();
  const style = at("lanes").style;
  style.setProperty("--x", `${(100 * (event.clientX - box.left)) / box.width}%`);
  style.setProperty("--y", `${(100 * (event.clientY - box.top)) / box.height}%`);
  style.setProperty("--zoom", Math.max(3, picture.views.full.width / box.width));
}

// Wiring.

const images = (files) => [...(files ?? [])].find((file) => file.type.startsWith("image/")) ?? files?.[0];

at("form").onsubmit = (event) => {
  event.preventDefault();
  submit();
};
at("stop").onclick = () => running?.abort();
at("file").onchange = ({ target }) => target.files[0] && choose(target.files[0]);
at("question").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
};
at("form").addEventListener("change", () => {
  at("means").textContent = MEANS[chosenMode()];
});
at("key").onchange = ({ target }) => {
  api.key.set(target.value.trim());
  connect();
};
at("clear").onclick = async () => {
  await recent.clear();
  await showRecent();
  say("Cleared.");
  at("question").focus();
};
at("lanes").addEventListener("pointermove", loupe);
at("lanes").addEventListener("pointerleave", loupe);
document.addEventListener("paste", ({ clipboardData }) => {
  const image = images(clipboardData?.files);
  if (image) choose(image);
});
document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  at("drop").classList.add("over");
});
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  const image = images(event.dataTransfer.files);
  at("drop").classList.remove("over");
  if (image) event.preventDefault();
  if (image) choose(image);
});

/** `/?example=chart-1&mode=compare&ask=1` shows an example at work; `question=` and `theme=` are understood too. */
async function start() {
  const link = new URLSearchParams(location.search);
  const given = link.get("theme") ?? localStorage.getItem("visionthink.theme");
  paint(["light", "dark"].includes(given) ? given : null);
  if (MEANS[link.get("mode")]) at("form").elements.mode.value = link.get("mode");
  at("means").textContent = MEANS[chosenMode()];
  at("key").value = api.key.get();
  const [examples] = await Promise.all([showExamples(), connect(), showRecent()]);
  const drawn = examples.find(({ id }) => id === link.get("example"));
  if (drawn) await pick(drawn);
  if (link.get("question")) at("question").value = link.get("question");
  if (link.get("ask") && drawn) await submit();
}

start();
