// WebDNN.

/** @returns an object with run() => {name: typed array}, dispose() and profile() */
export async function load({ backend, threads, url, inputs }) {
  const webdnn = await import("/webdnn/index.js");
  // The first run begins while weights arrive: from navigation to the first result counts, not when `load` is over.
  const model = await webdnn.load(url.webdnn, { backends: [backend], threads, complete: false });
  const feeds = Object.fromEntries(Object.entries(inputs).map(([name, { data }]) => [name, data]));
  return { run: () => model.run(feeds), dispose: () => model.dispose(), profile: () => model.profile(feeds) };
}
