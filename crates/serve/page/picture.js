// An image, and the two views of it.

import { made } from "./lane.js";

const read = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });

/** Draws the image anew. The small view is this browser's; the server makes its own, with Lanczos' filter. */
async function drawn(bitmap, width, height, kind) {
  const options = { resizeWidth: width, resizeHeight: height, resizeQuality: "high" };
  const canvas = made("canvas", { width, height });
  canvas.getContext("2d").drawImage(await createImageBitmap(bitmap, options), 0, 0);
  return canvas.toDataURL(kind);
}

/** `{blob, url, thumb, views: {full, low}}` of a file; nothing where it is no image that a browser can read. */
export async function open(blob) {
  const bitmap = await createImageBitmap(blob).catch(() => null);
  if (!bitmap) return null;
  const { width, height } = bitmap;
  const half = (side) => Math.max(1, Math.floor(side / 2));
  const share = Math.min(1, 160 / Math.max(width, height));
  const [url, low, thumb] = await Promise.all([
    read(blob),
    drawn(bitmap, half(width), half(height), "image/png"),
    drawn(bitmap, Math.ceil(width * share), Math.ceil(height * share), "image/webp"),
  ]);
  const views = { full: { url, width, height }, low: { url: low, width: half(width), height: half(height) } };
  return { blob, url, thumb, views };
}
