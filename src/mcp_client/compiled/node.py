"""Compile Node packages: let Node fill its compile cache, by starting the server with nothing of the user's.

Node keeps what V8 compiled by the path of the source, and notices by a checksum that a source is another one
(module.enableCompileCache(), NODE_COMPILE_CACHE). A folder that it cannot write it reads, and says no word.
"""

import os
import re
from collections.abc import Iterable
from urllib.parse import quote

from mcp_client.cache.compiled_publish import Form
from mcp_client.compiled.records import RecordsError

VARIABLE = "NODE_COMPILE_CACHE"
# <version of Node>-<machine>-<V8's own version>-<user>/<checksum of the path>
_NAME = re.compile(r"(v[0-9A-Za-z._+-]{1,100})/([0-9a-f]{1,16})")
# A client that asks what everybody asks first, and is gone.
GREETING = b"""\
{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},\
"clientInfo":{"name":"mcp-compile","version":"1"}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","id":2,"method":"tools/list"}
"""
# Runs before the server, in its process: when that leaves, or has had time enough to start, what was compiled
# is written to standard output as records.py reads it.
_PROGRAM = r"""
import fs from 'node:fs';
import path from 'node:path';
import module from 'node:module';
const folder = process.env.NODE_COMPILE_CACHE;
const pause = new Int32Array(new SharedArrayBuffer(4));
const write = (data) => {
  for (let at = 0; at < data.length;) {
    try { at += fs.writeSync(1, data, at); }
    catch (error) { if (error.code !== 'EAGAIN') throw error; Atomics.wait(pause, 0, 0, 5); }
  }
};
process.on('exit', () => {
  module.flushCompileCache();
  write(Buffer.from('\0mcp-compiled\0', 'latin1'));
  for (const version of fs.readdirSync(folder)) {
    for (const file of fs.readdirSync(path.join(folder, version))) {
      const name = Buffer.from(version + '/' + file);
      const data = fs.readFileSync(path.join(folder, version, file));
      const head = Buffer.alloc(6);
      head.writeUInt16BE(name.length, 0);
      head.writeUInt32BE(data.length, 2);
      write(Buffer.concat([head, name, data]));
    }
  }
  write(Buffer.alloc(6));
});
process.on('SIGTERM', () => process.exit(0));
setTimeout(() => process.exit(0), 5000).unref();
"""


def node_arguments() -> tuple[str, ...]:
    """What comes before the script on the command line."""
    return ("--import", "data:text/javascript," + quote(_PROGRAM))


def add_node(form: Form, records: Iterable[tuple[bytes, bytes]]) -> bool:
    """Make ``form`` a compile cache of what came; False when nothing did. Raises RecordsError and OSError."""
    added = False
    for name, data in records:
        match = _NAME.fullmatch(name.decode(errors="replace"))
        if match is None or not form.make_folder(match[1]):
            raise RecordsError("a record has a strange name")
        added |= form.add_file(os.path.join(match[1], match[2]), data)
    return added
