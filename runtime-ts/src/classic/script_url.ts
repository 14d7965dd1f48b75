/** Where the script is that a page loads by a tag: it stands for `import.meta.url` there (see build.mjs). */
const script = globalThis.document?.currentScript as HTMLScriptElement | null | undefined;
export const scriptUrl = script?.src || globalThis.location?.href;
