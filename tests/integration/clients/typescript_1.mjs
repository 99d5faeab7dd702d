// TypeScript SDK 1.x: the folder with its packages is the argument; reads a task from stdin, prints a report.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { resolve } = createRequire(`${process.argv[2]}/main.js`);
const load = (name) => import(pathToFileURL(resolve(name)).href);
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = await load("@modelcontextprotocol/sdk/client/stdio.js");

const task = JSON.parse(readFileSync(0, "utf8"));
const [command, ...args] = task.command;
const transport = new StdioClientTransport({ command, args, env: task.env });
const client = new Client({ name: "driver", version: "1.0.0" });
let revision = null;
transport.setProtocolVersion = (version) => { revision = version; };
await client.connect(transport);
const { tools } = await client.listTools();
const results = [];
for (const [name, given] of task.calls) {
  const answer = await client.callTool({ name, arguments: given });
  const text = answer.content.filter((block) => block.type === "text").map((block) => block.text).join("\n");
  results.push({ text, error: Boolean(answer.isError) });
}
const server = client.getServerVersion().name;
await client.close();
console.log(JSON.stringify({ revision, server, tools: tools.map((tool) => tool.name), results }));
