// What came of a run: a sentence, and a table of what it cost.

import { NAMES, count, duration, made } from "./lane.js";

const plain = (text) => text.trim().toLowerCase();
const knows = (lane) => lane.seen !== undefined;

/** What came of a run, in a sentence or two. `expected` is the answer of an example. */
export function verdict(lanes, expected) {
  const [lane, whole] = lanes;
  const parts = [whole ? compared(lane, whole) : alone(lane)];
  const right = lanes.every(({ answer }) => plain(answer) === plain(expected ?? answer));
  if (!right) parts.push(`Right would be “${expected}”.`);
  return parts.filter(Boolean).join(" ");
}

function alone(lane) {
  if (!knows(lane) || lane.mode === "full") return "";
  if (lane.seen > lane.full) return `It asked: ${count(lane.seen)} image tokens, where the full image alone costs ${count(lane.full)}.`;
  return `${count(lane.seen)} image tokens instead of ${count(lane.full)}.`;
}

function compared(lane, whole) {
  const same = plain(lane.answer) === plain(whole.answer) ? "The same answer" : "Another answer";
  const [cost, against, what] = knows(lane) ? [lane.seen, lane.full, "image tokens"] : [lane.prompt, whole.prompt, "prompt tokens"];
  const asked = lane.report?.decision === "resize" ? ", after it had asked for the full image" : "";
  const share = Math.round(100 * Math.abs(1 - cost / against));
  return `${same}${asked}: ${count(cost)} ${what} instead of ${count(against)}, ${share} % ${cost > against ? "more" : "fewer"}.`;
}

const ROWS = [
  ["Image tokens", (lane) => lane.seen, count, (lane) => lane.full],
  ["Prompt tokens, all turns", (lane) => lane.prompt, count],
  ["of these known before", (lane) => lane.cached, count],
  ["Tokens written", (lane) => lane.tokens, count],
  ["First word after", (lane) => lane.first, duration],
  ["Whole answer after", (lane) => lane.total, duration],
];

/** What it cost, lane beside lane. */
export function table(lanes) {
  const names = lanes.map((lane) => made("th", { scope: "col", textContent: NAMES[lane.mode] }));
  const known = ROWS.filter(([, value]) => lanes.some((lane) => value(lane) !== undefined));
  const rows = known.map((row) => made("tr", {}, made("th", { scope: "row", textContent: row[0] }), ...lanes.map((lane) => cell(row, lane, lanes))));
  const caption = made("caption", { className: "unseen", textContent: "What it cost" });
  return made("table", {}, caption, made("thead", {}, made("tr", {}, made("td"), ...names)), made("tbody", {}, ...rows));
}

function cell([, value, text, whole], lane, lanes) {
  const number = value(lane);
  const out = made("td", { textContent: number === undefined ? "" : text(number) });
  out.dataset.mode = lane.mode;
  const most = Math.max(...lanes.map(value), whole?.(lane) ?? 0);
  // A bar means something beside another one, or beside the whole.
  if (most > 0 && (whole || lanes.length > 1)) {
    const bar = made("i", { className: "bar" });
    bar.style.setProperty("--part", number / most);
    out.append(bar);
  }
  return out;
}
