// The page: what happens when a photo comes, a face is chosen, or the wish for certainty changes.

import { predict, read, Refused } from "./asking.js";
import { listFaces } from "./faces.js";
import { drawCurve, showModel } from "./model.js";
import { closeCamera, grab, open, openCamera } from "./pictures.js";
import { showCamera, showFaces, showPhoto } from "./stage.js";
import { judge, percent } from "./words.js";

const PAUSE = 120; // milliseconds between two pictures of the camera
const QUIET = 3000; // milliseconds between two announcements while the camera runs
const USUAL = 0.8; // the accuracy that is wished for where the server says nothing else

const element = (id) => document.getElementById(id);
const video = element("video");

// What is shown: the picture, its size in which faces are measured, its faces, and the one that was chosen.
const shown = { picture: null, size: null, faces: [], chosen: 0 };
const model = { classes: [], rules: [], curve: [], limits: { file_bytes: 0, photo_pixels: 0 } };
let running = null; // the request under way
let turns = 0; // photos that were asked about
let looking = false; // whether the answer about the photo is yet to come
let live = false; // whether the camera runs
let announced = 0;
let moved = null; // where the slider was put; a new model does not move it

// Photos

async function take(file) {
  stopCamera();
  const picture = await open(file, model.limits).catch(() => null);
  if (picture) await answer(picture);
  else complain("This is no picture that the browser can read.");
}

async function answer(picture) {
  const turn = ++turns;
  showPhoto(picture.canvas);
  if (picture !== shown.picture) {
    Object.assign(shown, { picture, faces: [], chosen: 0 });
    element("stage").scrollIntoView({ block: "nearest" });
  }
  look(true);
  try {
    await ask(picture);
    announce();
  } catch (error) {
    explain(error);
  } finally {
    if (turn === turns) look(false);
  }
}

/** Ask about a picture; an older request that is still under way is given up. */
async function ask(picture) {
  running?.abort();
  const mine = (running = new AbortController());
  const options = { crops: element("crops").checked, explain: element("explain").checked, signal: mine.signal };
  const said = await predict(picture.file, options);
  if (mine !== running) return;
  const [size] = said.files;
  const faces = size.faces.sort((a, b) => (live ? -1 : 1) * (a.box?.x - b.box?.x)); // as seen: from the left
  Object.assign(shown, { picture, size, faces, chosen: Math.min(shown.chosen, Math.max(0, faces.length - 1)) });
  element("problem").hidden = true;
  if (said.model.title !== model.title) await learn();
  render();
}

// The camera

async function startCamera() {
  try {
    await openCamera(video);
  } catch (error) {
    complain(`The camera cannot be used. ${error.message}`);
    return;
  }
  live = true;
  Object.assign(shown, { picture: await grab(video), faces: [], chosen: 0 });
  showCamera();
  render();
  watch();
}

async function watch() {
  while (live) {
    try {
      const picture = await grab(video);
      if (live && !document.hidden) await ask(picture);
      if (live && Date.now() - announced > QUIET) announce();
    } catch (error) {
      explain(error);
    }
    await new Promise((resolve) => setTimeout(resolve, element("problem").hidden ? PAUSE : 1000));
  }
}

function stopCamera() {
  live = false;
  running?.abort();
  closeCamera(video);
  if (shown.picture && element("work").dataset.state === "camera") showPhoto(shown.picture.canvas);
  render();
}

async function shoot() {
  const picture = await grab(video, 1600);
  stopCamera();
  await answer(picture);
}

// What is shown

function render() {
  const rule = wanted();
  const camera = element("work").dataset.state === "camera";
  element("legend").hidden = !(element("explain").checked && shown.faces.some((face) => face.explanation));
  drawCurve(model.curve, rule);
  if (!shown.picture) return;
  showFaces(shown.faces, shown.size, rule, shown.faces.length > 1 ? shown.chosen : -1, choose);
  listFaces(shown.faces, shown.picture.canvas, shown.size, rule, model.classes, shown.chosen, choose);
  const found = shown.faces.length;
  element("results-title").textContent = found === 1 ? "One face" : found ? `${found} faces` : "Faces";
  element("none").hidden = found > 0;
  element("none").textContent =
    looking || camera ? "Looking for faces …" : "No face was found. A larger one, seen from the front, is easier to find.";
  element("photo").setAttribute("aria-label", `The photo: ${sentence()}`);
}

function choose(at) {
  shown.chosen = at;
  render();
}

function sentence() {
  const said = shown.faces.map((face) => judge(face, wanted()).short);
  if (!said.length) return "no face was found";
  return said.length === 1 ? `one face: ${said[0]}` : `${said.length} faces: ${said.join(", ")}`;
}

function announce() {
  announced = Date.now();
  const text = sentence();
  if (element("said").textContent !== text) element("said").textContent = text;
}

function look(is) {
  looking = is;
  element("progress").hidden = !is;
  element("stage").setAttribute("aria-busy", is);
  render();
}

function explain(error) {
  if (error.name === "AbortError") return; // given up for a newer one
  complain(error instanceof Refused ? error.message : "The server does not answer.");
}

function complain(sentence) {
  element("problem").textContent = sentence;
  element("problem").hidden = false;
}

// When to say nothing

/** Give the rule that the slider stands for; null: the most likely expression is always named. */
function wanted() {
  const target = Number(element("target").value);
  if (element("wish").hidden || target <= Number(element("target").min)) return null;
  return model.rules.find((rule) => Math.round(100 * rule.target) === target) ?? null;
}

function offerWish(about) {
  const base = about.curve.at(-1)?.accuracy ?? 0.5;
  const reached = about.abstention.filter((rule) => rule.threshold !== null);
  element("wish").hidden = !reached.length;
  if (!reached.length) return;
  const target = element("target");
  target.min = Math.floor(100 * Math.max(reached[0].target, base)) - 1; // its lowest place is "always answer"
  target.max = Math.round(100 * reached.at(-1).target);
  target.value = moved ?? Math.round(100 * (about.abstain ?? USUAL));
  tellWish();
}

function tellWish() {
  const rule = wanted();
  const base = model.curve.at(-1)?.accuracy;
  element("wish-text").textContent = rule
    ? `To be right ${percent(rule.target)} of the time, it answers ${percent(rule.coverage)} of faces and says ` +
      "“uncertain” of the others. Measured on validation images."
    : `It always names the most likely expression${base ? `, and is right ${percent(base)} of the time` : ""}.`;
  element("target").setAttribute("aria-valuetext", rule ? `${percent(rule.target)} right` : "always answer");
}

// The model

async function learn() {
  const about = await read("/model");
  Object.assign(model, { title: about.title, classes: about.classes, rules: about.abstention, curve: about.curve, limits: about.limits });
  showModel(about);
  offerWish(about);
  tellStanding(about.title, "ok");
  render();
}

async function checkHealth() {
  try {
    const { status, model: now, trouble } = await read("/health");
    tellStanding(trouble ? `${now.title}: ${trouble}` : now.title, status);
    if (model.title && now.title !== model.title) await learn();
  } catch {
    tellStanding("The server does not answer", "gone");
  }
}

function tellStanding(text, status) {
  element("standing-text").textContent = text;
  element("standing").dataset.status = status;
}

async function offerExamples() {
  const names = await read("/examples");
  element("examples").hidden = !names.length;
  element("example-list").replaceChildren(
    ...names.map((name) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      const image = document.createElement("img");
      Object.assign(image, { src: `/examples/${name}`, alt: `Drawn photo: ${name.replace(/\.png$/, "").replace(/[-_]/g, " ")}` });
      button.type = "button";
      button.append(image);
      button.onclick = async () => take(await (await fetch(image.src)).blob());
      item.append(button);
      return item;
    }),
  );
}

// What people do

const actions = {
  choose: () => element("file").click(),
  camera: startCamera,
  shoot,
  stop: stopCamera,
};

document.addEventListener("click", (event) => actions[event.target.closest("[data-do]")?.dataset.do]?.());

element("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) take(target.files[0]);
  target.value = "";
});

document.addEventListener("paste", ({ clipboardData }) => {
  const file = [...clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) take(file);
});

let inside = 0; // elements that a dragged file has entered and not left
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("dragenter", () => document.body.classList.toggle("dragging", ++inside > 0));
document.addEventListener("dragleave", () => document.body.classList.toggle("dragging", --inside > 0));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
});

const again = () => !live && shown.picture && answer(shown.picture);

element("crops").addEventListener("change", again);

element("explain").addEventListener("change", ({ target }) => {
  if (target.checked) again();
  for (const face of shown.faces) face.explanation = null;
  render();
});

element("target").addEventListener("input", ({ target }) => {
  moved = target.value;
  tellWish();
  render();
  if (shown.picture) announce();
});

learn().catch(explain);
offerExamples().catch(explain);
checkHealth();
setInterval(checkHealth, 15000);
