// The stage: a photo or the camera, boxes around the faces, and the explanation over them.

import { fill, judge, make } from "./words.js";

const FOR = [240, 110, 40]; // as ferrule/explanation.py has them
const AGAINST = [40, 120, 230];
const STRONGEST = 0.72; // opacity of the explanation where it is strongest

const NARROW = 100; // pixels of a box; above it there is no room for numbers

const element = (id) => document.getElementById(id);

/** Show a canvas as the photo. */
export function showPhoto(picture) {
  const photo = element("photo");
  photo.width = picture.width;
  photo.height = picture.height;
  photo.getContext("2d").drawImage(picture, 0, 0);
  element("work").dataset.state = "photo";
}

/** Show the camera. */
export function showCamera() {
  element("work").dataset.state = "camera";
}

/** Draw boxes and, where there are any, explanations, for faces in a picture of this size. */
export function showFaces(faces, size, rule, chosen, choose) {
  const live = element("work").dataset.state === "camera";
  fill(
    element("boxes"),
    faces.filter((face) => face.box),
    () => {
      const box = make("li");
      box.append(make("span"));
      return box;
    },
    (box, face) => placeBox(box, face, size, rule, live, face === faces[chosen], () => choose(faces.indexOf(face))),
  );
  if (size) drawHeat(faces, size, live);
}

function placeBox(box, face, { width, height }, rule, live, chosen, choose) {
  const { x, y } = face.box;
  const left = live ? width - x - face.box.width : x; // the camera is shown as a mirror
  box.style.left = `${(100 * left) / width}%`;
  box.style.top = `${(100 * y) / height}%`;
  box.style.width = `${(100 * face.box.width) / width}%`;
  box.style.height = `${(100 * face.box.height) / height}%`;
  box.classList.toggle("chosen", chosen);
  box.classList.toggle("inside", y < 0.08 * height);
  box.classList.toggle("from-right", left > 0.7 * width);
  const { label, short } = judge(face, rule);
  box.firstElementChild.textContent = box.offsetWidth < NARROW ? label : short;
  box.onclick = choose;
}

function drawHeat(faces, { width, height }, live) {
  const heat = element("heat");
  heat.width = width;
  heat.height = height;
  heat.style.transform = live ? "scaleX(-1)" : "";
  const context = heat.getContext("2d");
  context.imageSmoothingQuality = "high";
  for (const face of faces) {
    if (!face.explanation) continue;
    const { x, y, width: w, height: h } = face.seen ?? face.box ?? { x: 0, y: 0, width, height };
    context.drawImage(paint(face.explanation), x, y, w, h);
  }
}

/** Give a canvas with an explanation: orange where it speaks for the label, blue where against. */
export function paint(explanation) {
  const side = explanation.length;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(side, side);
  explanation.flat().forEach((value, at) => {
    const [red, green, blue] = value > 0 ? FOR : AGAINST;
    const edge = Math.min(at % side, side - 1 - (at % side), Math.floor(at / side), side - 1 - Math.floor(at / side));
    const fade = Math.min(1, (edge + 1) / 5); // no hard edge where the square ends
    pixels.data.set([red, green, blue, Math.round(255 * STRONGEST * fade * Math.abs(value))], 4 * at);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}
