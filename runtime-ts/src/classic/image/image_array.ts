import { flat } from "../symbolic_float32_array.js";
import { type ImageArrayOption, pack, unpack } from "./layout.js";
import {
  type DestinationRect,
  type Drawable,
  pixelsOf,
  putPixels,
  type SourceRect,
} from "./pixels.js";
import { loadImageByUrl, loadImageFromFileInput } from "./sources.js";

/** The address of an image, an `<input type="file">` in which one was chosen, or what can be drawn. */
export type ImageSource = string | HTMLInputElement | Drawable;

type Options = SourceRect & DestinationRect & ImageArrayOption;

/** The numbers of what can be drawn, cropped and resized. @throws RangeError if it has no pixels */
export function getImageArrayFromDrawable(
  drawable: Drawable,
  options: Options = {},
): Float32Array | Int32Array {
  return pack(pixelsOf(drawable, options), options);
}

/**
 * Load an image if need be, crop and resize it, and give its numbers.
 *
 * @returns of the shape [height, width, channels], or [channels, height, width] (`options.order`)
 * @throws DownloadError if it is no image that the browser can read; TypeError if no file was chosen
 */
export async function getImageArray(
  image: ImageSource,
  options: Options = {},
): Promise<Float32Array | Int32Array> {
  if (typeof image === "string") {
    return getImageArrayFromDrawable(await loadImageByUrl(image), options);
  }
  if (!("files" in image)) return getImageArrayFromDrawable(image, options);
  const chosen = await loadImageFromFileInput(image);
  try {
    return getImageArrayFromDrawable(chosen, options);
  } finally {
    URL.revokeObjectURL(chosen.src);
  }
}

/**
 * Show numbers on a canvas as an image. What is taken of it is put on all of the canvas, unless `dstW` and `dstH` say otherwise.
 *
 * @param array of the shape [imageH, imageW, channels], or [channels, imageH, imageW] (`options.order`)
 * @throws RangeError if it is too short
 */
export function setImageArrayToCanvas(
  array: ArrayLike<number>,
  imageW: number,
  imageH: number,
  canvas: HTMLCanvasElement,
  options: Options = {},
): void {
  const pixels = unpack(flat(array), imageW, imageH, options);
  putPixels(new ImageData(pixels, imageW, imageH), canvas, options);
}
