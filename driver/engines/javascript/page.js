// Runs jobs in a page, each in a fresh one: the server has the job and its files, and takes events.

import { runJob } from "./timing.js";

const report = (event) => fetch("/event", { method: "POST", body: JSON.stringify(event) });
let response = await fetch("/job");
while (response.status !== 200) response = await fetch("/job"); // there is none yet
const job = await response.json();
try {
  const read = (file) => fetch(`/files/${file}`).then((response) => response.arrayBuffer());
  await report({ result: await runJob(job, read, report) });
} catch (error) {
  await report({ error: String(error) });
}
location.reload(); // gives all memory back
