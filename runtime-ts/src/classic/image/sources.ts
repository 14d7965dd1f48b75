import { DownloadError } from "../../index.js";

/** Load an image. @throws DownloadError if there is none that the browser can read */
export async function loadImageByUrl(url: string): Promise<HTMLImageElement> {
  const image = document.createElement("img");
  image.src = url;
  try {
    await image.decode();
  } catch (cause) {
    throw new DownloadError(url, "cannot be read as an image", { cause });
  }
  return image;
}

/** Load the image that was chosen in an `<input type="file">`. @throws TypeError if none was */
export async function loadImageFromFileInput(input: HTMLInputElement): Promise<HTMLImageElement> {
  const file = input.files?.[0];
  if (!file) throw new TypeError("no file is selected");
  return loadImageByUrl(URL.createObjectURL(file));
}

/** Let the user choose an image. @throws TypeError if none was chosen */
export async function loadImageByDialog(): Promise<HTMLImageElement> {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = "image/*";
  await new Promise((resolve) => {
    input.onchange = input.oncancel = resolve;
    input.click();
  });
  return loadImageFromFileInput(input);
}
