// Runs a job in a page: the server has job.json and the files, and takes events.

import { runJob } from "./timing.js";

const report = (event) => fetch("/event", { method: "POST", body: JSON.stringify(event) });
try {
  const job = await fetch("/files/job.json").then((response) => response.json());
  const read = (file) => fetch(`/files/${file}`).then((response) => response.arrayBuffer());
  await report({ result: await runJob(job, read, report) });
} catch (error) {
  await report({ error: String(error) });
}
