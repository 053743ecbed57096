// Reads one JSONata expression per line and writes its value as a line. Adds $parse, which only Step Functions has.
"use strict";
const jsonata = require("jsonata");
const lines = require("node:readline").createInterface({ input: process.stdin });

const answer = async (line) => {
  try {
    const { text, bindings } = JSON.parse(line);
    const expression = jsonata(text);
    expression.registerFunction("parse", (json) => JSON.parse(json));
    const value = await expression.evaluate(undefined, bindings);
    return value === undefined ? { error: "undefined" } : { value };
  } catch (error) {
    return { error: String(error.message || error) };
  }
};

(async () => {
  for await (const line of lines) process.stdout.write(JSON.stringify(await answer(line)) + "\n");
})();
