export {
  getImageArray,
  getImageArrayFromDrawable as getImageArrayFromCanvas,
  getImageArrayFromDrawable,
  type ImageSource,
  setImageArrayToCanvas,
} from "./image_array.js";
export {
  Color,
  type ImageArrayOption,
  Order,
  pack as getImageArrayFromImageData,
} from "./layout.js";
export type { DestinationRect, Drawable, SourceRect } from "./pixels.js";
export { loadImageByDialog, loadImageByUrl, loadImageFromFileInput } from "./sources.js";
