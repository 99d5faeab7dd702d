#!/usr/bin/env node
// The Node server of the benchmarks: a line is answered by a line.
const fs = require("fs");
const buffer = Buffer.alloc(1 << 18);
for (let size; (size = fs.readSync(0, buffer)) > 0; ) {
  for (let at = buffer.indexOf(10); at >= 0 && at < size; at = buffer.indexOf(10, at + 1)) {
    fs.writeSync(1, '{"jsonrpc":"2.0","id":1,"result":{}}\n');
  }
}
