/** The part of an image that is taken. Default: all of it. */
export interface SourceRect {
  srcX?: number;
  srcY?: number;
  srcW?: number;
  srcH?: number;
}

/** Where it is put, and how large. Default: at the top left, in its own size. */
export interface DestinationRect {
  dstX?: number;
  dstY?: number;
  dstW?: number;
  dstH?: number;
}

/** What has pixels. */
export type Drawable = HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | ImageData;

/**
 * Crop, then resize: what is outside of the part that is taken has no effect. The result reaches from the top left to the far
 * end of the destination; what is above and to the left of it is transparent.
 *
 * @throws RangeError if it has no pixels (yet)
 */
export function pixelsOf(drawable: Drawable, rect: SourceRect & DestinationRect): ImageData {
  const { width, height } = sizeOf(drawable);
  const { srcX = 0, srcY = 0, srcW = width, srcH = height } = rect;
  const { dstX = 0, dstY = 0, dstW = srcW, dstH = srcH } = rect;
  let source = drawable;
  if ("data" in source || srcX || srcY || srcW !== width || srcH !== height) {
    const part = newContext(srcW, srcH);
    if ("data" in source) part.putImageData(source, -srcX, -srcY);
    else part.drawImage(source, -srcX, -srcY);
    source = part.canvas;
  }
  const context = newContext(dstX + dstW, dstY + dstH);
  context.drawImage(source, dstX, dstY, dstW, dstH);
  return context.getImageData(0, 0, dstX + dstW, dstY + dstH);
}

/** Put an image on a canvas, in place of what is there. Default: on all of it. */
export function putPixels(
  image: ImageData,
  canvas: HTMLCanvasElement,
  rect: SourceRect & DestinationRect,
): void {
  const { dstX = 0, dstY = 0, dstW = canvas.width, dstH = canvas.height } = rect;
  const pixels = pixelsOf(image, { ...rect, dstX: 0, dstY: 0, dstW, dstH });
  const context = canvas.getContext("2d");
  if (!context) throw new TypeError("this canvas has a context that is not 2D");
  context.putImageData(pixels, dstX, dstY);
}

function sizeOf(drawable: Drawable): { width: number; height: number } {
  const { videoWidth, videoHeight } = drawable as HTMLVideoElement;
  // An image element's own width and height are those of its box in the page.
  const { naturalWidth = videoWidth, naturalHeight = videoHeight } = drawable as HTMLImageElement;
  const { width, height } = drawable;
  const size = { width: naturalWidth ?? width, height: naturalHeight ?? height };
  // Of what is no drawable at all, too.
  if (!(size.width * size.height > 0)) {
    throw new RangeError(`there are no pixels: ${size.width} x ${size.height}`);
  }
  return size;
}

function newContext(width: number, height: number): CanvasRenderingContext2D {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  // A new canvas has no other context.
  return canvas.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
}
