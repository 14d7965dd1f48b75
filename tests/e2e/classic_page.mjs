// The page of classic.test.mjs, on which the first WebDNN and ours lie side by side.

export const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; img-src 'self' blob: data:; media-src blob:";

/** The page: `Old` is the first WebDNN, `New` is ours, `sources` are images with the same pixels. */
export const PAGE_SCRIPT = `
import * as New from "/classic.js";

const Old = globalThis.WebDNN;

async function makeSources() {
  const image = await New.Image.loadImageByUrl("/picture.png");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, canvas.width, canvas.height);
  const scaled = document.createElement("img");
  scaled.src = "/picture.png";
  // The size of the element is not that of its picture.
  [scaled.width, scaled.height] = [100, 1];
  document.body.append(scaled);
  await scaled.decode();
  const clear = await New.Image.loadImageByUrl("/clear.png");
  const clearCanvas = document.createElement("canvas");
  [clearCanvas.width, clearCanvas.height] = [clear.naturalWidth, clear.naturalHeight];
  clearCanvas.getContext("2d").drawImage(clear, 0, 0);
  const clearData = new ImageData(data.data.map((value, k) => (k % 4 === 3 ? 7 * k : value)), canvas.width);
  const clears = { clear, clearCanvas, clearData };
  return { ...clears, url: "/picture.png", image, scaled, canvas, data, video: await videoOf(image), empty: new Image() };
}

/** A video that stands still. */
async function videoOf(image) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d");
  const video = document.createElement("video");
  video.muted = true;
  video.srcObject = canvas.captureStream();
  // There is a frame whenever something is drawn.
  const drawing = setInterval(() => context.drawImage(image, 0, 0), 20);
  await video.play();
  clearInterval(drawing);
  video.pause();
  return video;
}

const sources = makeSources();
const message = (error) => error.name + ": " + error.message;

globalThis.arrayOf = async (source, options, library = New) => {
  const { type, color, order, ...rest } = options;
  const named = {
    ...rest,
    ...(type && { type: globalThis[type] }),
    ...(color && { color: library.Image.Color[color] }),
    ...(order && { order: library.Image.Order[order] }),
  };
  try {
    const array = await library.Image.getImageArray((await sources)[source], named);
    return { type: array.constructor.name, values: Array.from(array) };
  } catch (error) {
    return { error: message(error) };
  }
};
globalThis.oldArrayOf = (source, options) => arrayOf(source, options, Old);

globalThis.painted = async (values, size, canvasSize, options, library = "New") => {
  const { Image } = { Old, New }[library];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = canvasSize;
  const context = canvas.getContext("2d");
  context.fillStyle = "#102030";
  context.fillRect(0, 0, ...canvasSize);
  const { color, order, ...rest } = options;
  const named = { ...rest, ...(color && { color: Image.Color[color] }), ...(order && { order: Image.Order[order] }) };
  try {
    Image.setImageArrayToCanvas(Float32Array.from(values), ...size, canvas, named);
  } catch (error) {
    return { error: message(error) };
  }
  return { pixels: Array.from(context.getImageData(0, 0, ...canvasSize).data) };
};

globalThis.fromInput = async () => {
  try {
    return Array.from(await New.Image.getImageArray(document.querySelector("#file")));
  } catch (error) {
    return message(error);
  }
};
document.querySelector("#dialog").onclick = async () => {
  globalThis.chosen = await New.Image.loadImageByDialog().then(
    async (image) => Array.from(await New.Image.getImageArray(image)),
    message,
  );
};

/** Load the package, run it, and say what there is to say. */
globalThis.run = async (directory, options, x, library = New) => {
  try {
    const progress = [];
    const runner = await library.load(directory, { ...options, progressCallback: (...told) => progress.push(told) });
    runner.getInputViews()[0].set(x);
    await runner.run();
    return { backend: runner.backendName, y: Array.from(runner.getOutputViews()[0].toActual()), last: progress.at(-1) };
  } catch (error) {
    return { error: message(error) };
  }
};
globalThis.ready = true;
`;

export const PAGE = `<!doctype html><title>classic</title><body><input type=file id=file><button id=dialog>choose</button>
<script src=/old.js></script><script type=module src=/page.js></script>`;
