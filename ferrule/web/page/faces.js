// The list of faces: what each shows, how sure, and what else it might be.

import { paint } from "./stage.js";
import { fill, judge, make, most, percent } from "./words.js";

const SIDE = 120; // pixels of a face's own picture, for twice the density
const OPEN = 3; // faces; of more, only the chosen one has its bars open

/** Fill the list. `picture` is the canvas that the faces are in, and `size` that of the picture they were found in. */
export function listFaces(faces, picture, size, rule, classes, chosen, choose) {
  fill(document.getElementById("faces"), faces, buildFace, (item, face, at) => {
    const said = judge(face, rule);
    item.classList.toggle("doubtful", said.doubtful);
    item.classList.toggle("chosen", at === chosen && faces.length > 1);
    const head = item.querySelector(".face-head");
    head.onclick = () => choose(at);
    const folded = faces.length > OPEN && at !== chosen;
    item.classList.toggle("folded", folded);
    head.setAttribute("aria-expanded", !folded);
    item.querySelector(".face-label").textContent = said.label;
    item.querySelector(".face-why").textContent = said.why;
    drawFace(item.querySelector("canvas"), face, picture, size);
    listBars(item.querySelector(".bars"), face, rule, classes);
  });
}

function buildFace() {
  const item = make("li", "face");
  const head = make("button", "face-head");
  head.type = "button";
  const canvas = make("canvas");
  canvas.width = canvas.height = SIDE;
  canvas.setAttribute("aria-hidden", "true");
  const text = make("span");
  text.append(make("span", "face-label"), make("span", "face-why"));
  head.append(canvas, text);
  item.append(head, make("ul", "bars"));
  return item;
}

/** Draw what the model looked at, and its explanation over it. */
function drawFace(canvas, face, picture, size) {
  const context = canvas.getContext("2d");
  const { x, y, width, height } = face.seen ?? face.box ?? { x: 0, y: 0, ...size };
  const [across, down] = [picture.width / size.width, picture.height / size.height];
  context.clearRect(0, 0, SIDE, SIDE);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, x * across, y * down, width * across, height * down, 0, 0, SIDE, SIDE);
  if (face.explanation) context.drawImage(paint(face.explanation), 0, 0, SIDE, SIDE);
}

function listBars(list, face, rule, classes) {
  const shares = face.probabilities ? classes.map((name) => [name, face.probabilities[name]]) : [];
  const best = face.probabilities ? most(face.probabilities)[0] : null;
  fill(list, shares, buildBar, (bar, [name, share]) => {
    bar.classList.toggle("best", name === best);
    const [label, track, value] = bar.children;
    label.textContent = name;
    value.textContent = percent(share);
    track.firstElementChild.style.width = `${100 * share}%`;
    const needed = name === best && rule?.threshold ? rule.threshold : null;
    track.lastElementChild.hidden = needed === null;
    track.lastElementChild.style.left = `${100 * (needed ?? 0)}%`;
  });
}

function buildBar() {
  const bar = make("li");
  const track = make("span", "track");
  track.append(make("i"), make("b"));
  bar.append(make("span", "name"), track, make("span", "value"));
  return bar;
}
