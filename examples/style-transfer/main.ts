import { type BackendName, load, type Model, type Tensors } from "../../runtime-ts/src/index.js";

/** What the page knows of the model's two inputs. */
const IMAGE = "image";
const STYLE = "style_weights";

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

const photoInput = element<HTMLInputElement>("photo");
const webcamButton = element<HTMLButtonElement>("webcam");
const styleSelect = element<HTMLSelectElement>("style");
const backendSelect = element<HTMLSelectElement>("backend");
const profileButton = element<HTMLButtonElement>("profile");
const inputCanvas = element<HTMLCanvasElement>("input");
const outputCanvas = element<HTMLCanvasElement>("output");
const status = element<HTMLParagraphElement>("status");

/** The model that is loaded, and the square's edge in pixels. */
interface Loaded {
  readonly model: Model;
  readonly edge: number;
  readonly output: string;
}

let loaded: Loaded | undefined;
let camera: MediaStream | undefined;

function say(text: string, isError = false): void {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

function show(id: string, text: string): void {
  element(id).textContent = text;
}

function context(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const found = canvas.getContext("2d", { willReadFrequently: true });
  if (!found) throw new Error("this browser has no 2D canvas");
  return found;
}

/** Draw the middle square of a picture. */
function draw(source: CanvasImageSource, width: number, height: number): void {
  const side = Math.min(width, height);
  const { width: edge } = inputCanvas;
  context(inputCanvas).drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, edge, edge);
}

/** The photo as planes of red, green and blue in [0, 1], and the style as a weight for each one. */
function tensors(edge: number): Tensors {
  const { data } = context(inputCanvas).getImageData(0, 0, edge, edge);
  const plane = edge * edge;
  const image = new Float32Array(3 * plane);
  for (let pixel = 0; pixel < plane; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      image[channel * plane + pixel] = (data[pixel * 4 + channel] ?? 0) / 255;
    }
  }
  const weights = new Float32Array(styleSelect.length);
  weights[styleSelect.selectedIndex] = 1;
  return { [IMAGE]: image, [STYLE]: weights };
}

function drawOutput(values: ArrayLike<number>, edge: number): void {
  const plane = edge * edge;
  const picture = new ImageData(edge, edge);
  for (let pixel = 0; pixel < plane; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      picture.data[pixel * 4 + channel] = Math.round((values[channel * plane + pixel] ?? 0) * 255);
    }
    picture.data[pixel * 4 + 3] = 255;
  }
  context(outputCanvas).putImageData(picture, 0, 0);
}

async function run(): Promise<void> {
  if (!loaded) return;
  const { model, edge, output } = loaded;
  const start = performance.now();
  const results = await model.run(tensors(edge));
  show("run-time", `${(performance.now() - start).toFixed(1)} ms`);
  const values = results[output];
  if (!(values instanceof Float32Array)) throw new Error(`the model has no output ${output}`);
  drawOutput(values, edge);
}

function backends(): BackendName[] {
  const chosen = backendSelect.value;
  return chosen === "webgpu" || chosen === "wasm" ? [chosen] : ["webgpu", "wasm"];
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(2)} MB`;
}

/** Bytes of the manifest and the page's scripts as they came over the network; a page is not told of what its workers read. */
function transferredForPage(): number {
  const entries = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
  return entries
    .filter((entry) => /\.js(on)?$/.test(new URL(entry.name).pathname))
    .reduce((sum, entry) => sum + entry.encodedBodySize, 0);
}

async function start(): Promise<void> {
  loaded?.model.dispose();
  loaded = undefined;
  element<HTMLTableElement>("kernels").hidden = true;
  performance.clearResourceTimings();
  const begin = performance.now();
  let files = 0;
  const model = await load("package", {
    backends: backends(),
    onProgress: ({ loaded, total }) => {
      files = total;
      say(`Loading ${megabytes(loaded)} of ${megabytes(total)}…`);
    },
  });
  const image = model.inputs.find((input) => input.name === IMAGE);
  const styles = model.inputs.find((input) => input.name === STYLE);
  const [output] = model.outputs;
  const edge = image?.shape[2];
  if (!styles || !output || edge === undefined) throw new Error("this is not the style-transfer model");
  loaded = { model, edge, output: output.name };
  fillStyles(styles.shape[0] ?? 0);
  await setEdge(edge);
  await run();
  show("first-time", `${(performance.now() - begin).toFixed(0)} ms`);
  show("download", megabytes(files + transferredForPage()));
  show("used", model.backend === "webgpu" ? "WebGPU" : "WebAssembly");
  const passedOver = model.failures.map((failure) => `${failure.backend}: ${failure.error.message}`);
  say(passedOver.length ? `Passed over ${passedOver.join("; ")}` : "Ready.");
}

function fillStyles(count: number): void {
  if (styleSelect.length === count) return;
  const chosen = Number(new URLSearchParams(location.search).get("style") ?? 0);
  styleSelect.replaceChildren(
    ...Array.from({ length: count }, (_, i) => new Option(`Style ${i}`, String(i), false, i === chosen)),
  );
}

/** Give the canvases the model's size; the photo stays. */
async function setEdge(edge: number): Promise<void> {
  if (inputCanvas.width === edge && inputCanvas.height === edge) return;
  for (const canvas of [inputCanvas, outputCanvas]) canvas.width = canvas.height = edge;
  const photo = new Image();
  photo.src = "photo.png";
  await photo.decode();
  draw(photo, photo.naturalWidth, photo.naturalHeight);
}

async function measure(): Promise<void> {
  if (!loaded) return;
  const { launches } = await loaded.model.profile(tensors(loaded.edge));
  const total = launches.reduce((sum, launch) => sum + launch.milliseconds, 0);
  const rows = launches.map((launch) => {
    const row = document.createElement("tr");
    const share = document.createElement("meter");
    share.value = total ? launch.milliseconds / total : 0;
    for (const text of [launch.kernel, launch.label.join(", "), launch.milliseconds.toFixed(3)]) {
      row.insertCell().textContent = text;
    }
    row.cells[2]?.classList.add("number");
    row.insertCell().append(share);
    return row;
  });
  const table = element<HTMLTableElement>("kernels");
  table.tBodies[0]?.replaceChildren(...rows);
  table.hidden = false;
}

async function pickPhoto(): Promise<void> {
  const file = photoInput.files?.[0];
  if (!file) return;
  stopCamera();
  const picture = await createImageBitmap(file);
  draw(picture, picture.width, picture.height);
  picture.close();
  await run();
}

function stopCamera(): void {
  for (const track of camera?.getTracks() ?? []) track.stop();
  camera = undefined;
  webcamButton.setAttribute("aria-pressed", "false");
}

async function toggleCamera(): Promise<void> {
  if (camera) {
    stopCamera();
    return;
  }
  const stream = await navigator.mediaDevices.getUserMedia({ video: true });
  camera = stream;
  webcamButton.setAttribute("aria-pressed", "true");
  const video = document.createElement("video");
  video.srcObject = stream;
  await video.play();
  while (camera === stream) {
    draw(video, video.videoWidth, video.videoHeight);
    await run();
    await new Promise(requestAnimationFrame);
  }
}

/** Do something for an event; what fails is told in the page. */
function attempt(action: () => Promise<void>): () => void {
  return () => {
    action().catch((error: unknown) => say(error instanceof Error ? error.message : String(error), true));
  };
}

photoInput.addEventListener("change", attempt(pickPhoto));
webcamButton.addEventListener("click", attempt(toggleCamera));
styleSelect.addEventListener("change", attempt(run));
backendSelect.addEventListener("change", attempt(start));
profileButton.addEventListener("click", attempt(measure));
const requested = new URLSearchParams(location.search).get("backend");
if (requested) backendSelect.value = requested;
attempt(start)();
