"""What was compiled, where there are no namespaces: made in the weaker sandbox, used there, never written."""

import json
import os
import sys

import pytest
from kit.bundle import manifest_form, pack_files, package
from kit.command import Mcp
from kit.compiling import compile_now
from kit.programs import node_22
from kit.registry import Registry

HERE = os.path.dirname(os.path.abspath(__file__))
HOST = [sys.executable, os.path.join(HERE, "without_namespaces.py")]
PYTHON = """
import json, os, part
told = {"loaded": part.__cached__, "there": os.path.exists(part.__cached__), "written": []}
for name, act in {
    "write": lambda: open(part.__cached__, "r+b"),
    "create": lambda: open(part.__cached__ + "x", "wb"),
    "unlink": lambda: os.unlink(part.__cached__),
    "mode": lambda: os.chmod(part.__cached__, 0o666),
}.items():
    try:
        act()
        told["written"].append(name)
    except OSError:
        pass
print(json.dumps(told))
"""
NODE = """
import fs from 'node:fs';
import { value } from './part.mjs';
const folder = process.env.NODE_COMPILE_CACHE, made = folder.startsWith(process.env.TMPDIR);
const told = { folder, value, versions: made ? [] : fs.readdirSync(folder), written: [] };
if (!made) {
  const inside = folder + '/' + told.versions[0], place = inside + '/' + fs.readdirSync(inside)[0];
  for (const [name, act] of Object.entries({
    write: () => fs.writeFileSync(place, 'evil'),
    create: () => fs.writeFileSync(inside + '/new', 'evil'),
    unlink: () => fs.unlinkSync(place),
    mode: () => fs.chmodSync(place, 0o666),
  })) {
    try { act(); told.written.push(name); } catch { /* as it should be */ }
  }
}
console.log(JSON.stringify(told));
"""
SERVERS = {
    "python": ("python3", "main.py", {"main.py": PYTHON, "part.py": "VALUE = 1"}),
    "node": ("node", "main.mjs", {"main.mjs": NODE, "part.mjs": "export const value = 1;"}),
}


@pytest.mark.parametrize("language", SERVERS)
def test_a_server_starts_from_it_and_cannot_change_it(mcp: Mcp, registry: Registry, language: str) -> None:
    command, main, files = SERVERS[language]
    each = package(manifest_form("test/restricted@1.0.0", command, f"${{bundle}}/{main}"), pack_files(files))
    registry.publish(each)
    mcp.env["PATH"] = f"{os.path.dirname(node_22())}:{mcp.env['PATH']}"
    assert mcp.run("pull", each.reference).status == 0

    made = compile_now(mcp, each.reference, overrides={"on_missing": "degrade"}, prefix=HOST)

    assert made.folder is not None, made.error
    result = mcp.run("run", "--allow-degraded", each.reference, given=b"", prefix=HOST)
    told = json.loads(result.stdout)
    if language == "python":
        assert told["loaded"].startswith(made.folder)
        assert told["there"]
    else:
        assert told["folder"] == made.folder
        assert told["versions"]
    assert told["written"] == []
    assert os.listdir(os.path.join(mcp.cache, "scratch")) == []
    assert mcp.run("cache", "verify").status == 0
