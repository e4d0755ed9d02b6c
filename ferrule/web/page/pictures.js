// Pictures from files, from the clipboard and from the camera, made small enough to send.

const LONGEST = 1600; // pixels; a face that is lost by this is too small to read
const LIVE = 640; // pixels, of the camera's pictures while it runs

/** Give a canvas with the picture of a file, upright; throws where the browser cannot read it. */
export async function draw(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const canvas = shrink(bitmap, bitmap.width, bitmap.height, LONGEST);
  bitmap.close();
  return canvas;
}

/** Give a canvas with what the camera shows now. */
export function grab(video, longest = LIVE) {
  return shrink(video, video.videoWidth, video.videoHeight, longest);
}

/** Give the canvas as a file to send. */
export function encode(canvas, quality = 0.92) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
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
