// What the model is: its scores with their intervals, what it finds, and what saying nothing gains.

import { fill, make, percent, precise, range } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const SCORES = {
  accuracy: ["Accuracy", "of all test images are named rightly"],
  macro_f1: ["Macro F1", "every expression counting the same"],
  ece: ["Calibration error", "between how sure it is and how right"],
};
const FRAME = { left: 38, right: 312, top: 10, bottom: 172 }; // of the chart, in its own units

const element = (id) => document.getElementById(id);

/** Fill the section on the model. */
export function showModel(about) {
  element("model").hidden = false;
  const test = about.scores.test;
  element("model-text").textContent =
    `You are answered by ${about.title}.` +
    (test ? ` Its scores are of ${test.rows.toLocaleString("en")} test images that it was not trained or chosen on, ` +
      "each with its 95\u202f% interval." : "");
  showScores(test ?? {});
  showRecalls(about.recalls ?? {});
}

function showScores(test) {
  const rows = Object.entries(SCORES).filter(([name]) => test[name]?.value !== undefined);
  element("scores").replaceChildren(
    ...rows.map(([name, [title, meaning]]) => {
      const box = make("div");
      const value = make("dd", "", precise(test[name].value));
      value.append(make("small", "", test[name].low === undefined ? "" : range(test[name])), make("small", "", meaning));
      box.append(make("dt", "", title), value);
      return box;
    }),
  );
}

function showRecalls(recalls) {
  const rows = Object.entries(recalls).sort((a, b) => b[1].value - a[1].value);
  element("recalls").parentElement.hidden = !rows.length;
  fill(element("recalls"), rows, buildRecall, (item, [name, { value, low, high }]) => {
    const [label, track, text] = item.children;
    label.textContent = name;
    text.textContent = percent(value);
    track.firstElementChild.style.width = `${100 * value}%`;
    track.lastElementChild.hidden = low === undefined;
    track.lastElementChild.style.left = `${100 * (low ?? 0)}%`;
    track.lastElementChild.style.width = `${100 * ((high ?? 0) - (low ?? 0))}%`;
  });
}

function buildRecall() {
  const item = make("li");
  const track = make("span", "track");
  track.append(make("i"), make("b"));
  item.append(make("span", "name"), track, make("span", "value"));
  return item;
}

/** Draw accuracy by coverage, and the point that `rule` chooses (null: every face is answered). */
export function drawCurve(curve, rule) {
  const chart = element("curve");
  chart.closest("figure").hidden = !curve.length;
  if (!curve.length) return;
  const floor = Math.min(0.9, Math.floor(10 * Math.min(...curve.map((point) => point.accuracy))) / 10);
  const across = (share) => FRAME.left + share * (FRAME.right - FRAME.left);
  const up = (share) => FRAME.bottom - ((share - floor) / (1 - floor)) * (FRAME.bottom - FRAME.top);
  const marks = [];
  for (let tenth = Math.round(10 * floor); tenth <= 10; tenth++) {
    const share = tenth / 10;
    marks.push(shape("line", { class: "grid", x1: FRAME.left, x2: FRAME.right, y1: up(share), y2: up(share) }));
    marks.push(label(percent(share), FRAME.left - 6, up(share) + 4, "end"));
  }
  for (const share of [0, 0.25, 0.5, 0.75, 1]) marks.push(label(percent(share), across(share), 188, "middle"));
  const shown = curve.filter((point) => point.coverage >= 0.02);
  const points = shown.map((point) => `${across(point.coverage)},${up(point.accuracy)}`).join(" ");
  marks.push(label("of the faces answered", FRAME.right, 203, "end"), shape("polyline", { class: "line", points }));
  const here = rule ? rule : curve.at(-1);
  if (here.coverage) {
    const [x, y] = [across(here.coverage), up(here.accuracy)];
    marks.push(shape("circle", { class: "point", cx: x, cy: y, r: 6 }));
    const text = `${percent(here.accuracy)} right`; // below the line, which falls to the right
    marks.push(
      here.coverage > 0.4
        ? label(text, x - 12, y + 6, "end", "point-text")
        : label(text, Math.max(x, FRAME.left + 30), y + 24, "middle", "point-text"),
    );
  }
  chart.replaceChildren(...marks);
}

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function label(text, x, y, anchor, name = "") {
  const made = shape("text", { x, y, "text-anchor": anchor, class: name });
  made.textContent = text;
  return made;
}
