const configuration = new Map<string, unknown>();

/** What was set under a key, or else the default. Nothing in WebDNN reads it. */
export function getConfiguration<T>(key: string, defaultValue?: T): T {
  return (configuration.has(key) ? configuration.get(key) : defaultValue) as T;
}

/** Keep a value under a key. */
export function setConfiguration(key: string, value: unknown): void {
  configuration.set(key, value);
}
