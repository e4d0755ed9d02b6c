// Pictures from files, from the clipboard and from the camera: what is shown of them, and what is sent.

const LONGEST = 1600; // pixels of what is shown, and of what is too large to be sent as it is
const READ = ["image/jpeg", "image/png", "image/webp"]; // by the server as well as by the browser
const LIVE = 640; // pixels, of the camera's pictures while it runs

/**
 * Give the picture of a file: a canvas to show, upright, and the file to send. That is the file itself, so that the
 * answer is the one that every other way to the model gives; only where the server would not take it, a smaller one.
 * Throws where the browser cannot read it.
 */
export async function open(file, { file_bytes: bytes, photo_pixels: pixels }) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const canvas = shrink(bitmap, bitmap.width, bitmap.height, LONGEST);
  const taken = READ.includes(file.type) && file.size <= bytes && bitmap.width * bitmap.height <= pixels;
  bitmap.close();
  return { canvas, file: taken ? file : await encode(canvas) };
}

/** Give the picture that the camera shows now. */
export async function grab(video, longest = LIVE) {
  const canvas = shrink(video, video.videoWidth, video.videoHeight, longest);
  return { canvas, file: await encode(canvas) };
}

export async function openCamera(video) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("Browsers give the camera only to pages over HTTPS, or of this machine.");
  }
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: "user", width: { ideal: 1280 } },
    audio: false,
  });
  video.srcObject = stream;
  await video.play();
}

export function closeCamera(video) {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

function encode(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
}

function shrink(source, width, height, longest) {
  const factor = Math.min(1, longest / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * factor));
  canvas.height = Math.max(1, Math.round(height * factor));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // behind what is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}
