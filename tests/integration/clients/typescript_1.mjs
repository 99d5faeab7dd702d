// TypeScript SDK 1.x: the folder with its packages is the argument; reads a task from stdin, prints a report.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { resolve } = createRequire(`${process.argv[2]}/main.js`);
const load = (name) => import(pathToFileURL(resolve(name)).href);
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = await load("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
const types = await load("@modelcontextprotocol/sdk/types.js");

const task = JSON.parse(readFileSync(0, "utf8"));
const seen = { progress: 0, sampled: 0, elicited: 0 };
let transport;
if (task.url) {
  transport = new StreamableHTTPClientTransport(new URL(task.url), { requestInit: { headers: task.headers ?? {} } });
} else {
  const [command, ...args] = task.command;
  transport = new StdioClientTransport({ command, args, env: task.env });
}
const client = new Client(
  { name: "driver", version: "1.0.0" },
  { capabilities: { sampling: {}, elicitation: {} } },
);
client.setRequestHandler(types.CreateMessageRequestSchema, () => {
  seen.sampled += 1;
  return { role: "assistant", model: "none", content: { type: "text", text: "sampled words" } };
});
client.setRequestHandler(types.ElicitRequestSchema, () => {
  seen.elicited += 1;
  return { action: "accept", content: { name: "Ada" } };
});
let revision = null;
const keep = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (version) => { revision = version; keep?.(version); };
await client.connect(transport);
const { tools } = await client.listTools();
const results = [];
for (const [name, given] of task.calls) {
  const options = { onprogress: () => { seen.progress += 1; } };
  const answer = await client.callTool({ name, arguments: given }, undefined, options);
  const text = answer.content.filter((block) => block.type === "text").map((block) => block.text).join("\n");
  results.push({ text, error: Boolean(answer.isError) });
}
const server = client.getServerVersion().name;
if (task.url) await transport.terminateSession();
await client.close();
console.log(JSON.stringify({ revision, server, tools: tools.map((tool) => tool.name), results, seen }));
