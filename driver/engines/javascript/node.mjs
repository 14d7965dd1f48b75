// Runs a job in Node.js: node node.mjs FOLDER, which holds job.json and the files. Events are lines of JSON.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { runJob } from "./timing.js";

const folder = process.argv[2];
const report = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const job = JSON.parse(await readFile(join(folder, "job.json"), "utf8"));
const result = await runJob(job, (file) => readFile(join(folder, file)), report);
report({ result });
