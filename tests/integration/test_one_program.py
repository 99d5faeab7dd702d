"""``subprocess: false`` is one program with as many threads as it likes, in every language; true is more.

The real servers of the other tests run under it too, a Go binary among them.
"""

import json
import os
import shutil

import pytest
from kit.bundle import manifest_form, pack_files, package
from kit.command import Mcp
from kit.registry import Registry

PYTHON = """
import os, subprocess, threading
thread = threading.Thread(target=print, args=("thread",))
thread.start(); thread.join()
child, fork = lambda: subprocess.run(["/bin/true"]), os.fork
replace = lambda: os.execv("/bin/echo", ["echo", "replaced"])
for attempt in (child, fork, replace):
    try:
        attempt()
        print("done", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""
NODE = """
const { spawnSync } = require('child_process');
const { Worker } = require('worker_threads');
new Worker("console.log('thread')", { eval: true }).on('exit', () => {
  const { error } = spawnSync('/bin/true');
  console.log(error ? error.code : 'done');
});
"""
JAVA = """
public class Main {
  public static void main(String[] arguments) throws Exception {
    Thread thread = new Thread(() -> System.out.println("thread"));
    thread.start();
    thread.join();
    try {
      new ProcessBuilder("/bin/true").start().waitFor();
      System.out.println("done");
    } catch (java.io.IOException error) {
      System.out.println(error.getMessage().replaceAll(".*, ", ""));
    }
    System.out.println(java.util.Collections.list(java.net.NetworkInterface.getNetworkInterfaces()));
  }
}
"""
SHELL = "#!/bin/sh\necho 'before'\nexec /bin/echo 'replaced'\n"
REFUSED = "Operation not permitted"
WARNING = "the server tried to execute another program; its policy says subprocess: false"


def run(mcp: Mcp, registry: Registry, name: str, files: dict[str, str], *command: str, **fields: object):
    """The program's lines, and what was said on standard error."""
    resources = {"cpu_millicores": 2000, "memory_mb": 1024, "max_processes": 6, "max_fds": 256}
    form = manifest_form(f"test/{name}@1.0.0", *command, **{"resources": resources, **fields})
    registry.publish(package(form, pack_files(files)))
    result = mcp.run("run", f"test/{name}@1.0.0")
    return result.stdout.decode().splitlines(), result


def end_record(mcp: Mcp) -> dict[str, object]:
    with open(os.path.join(mcp.home, "audit.log"), encoding="utf-8") as log:
        return [json.loads(line) for line in log][-1]


def test_python(mcp: Mcp, registry: Registry) -> None:
    lines, result = run(mcp, registry, "python", {"main.py": PYTHON}, "python3", "${bundle}/main.py")
    assert lines == ["thread", REFUSED, REFUSED, REFUSED]
    assert result.status == 0
    # Only the last reached the gate; fork is refused by the filter itself.
    assert result.stderr.count(WARNING) == 1
    assert end_record(mcp)["refused_starts"] == 1


def test_node(mcp: Mcp, registry: Registry) -> None:
    lines, result = run(mcp, registry, "node", {"main.js": NODE}, "node", "${bundle}/main.js")
    assert lines == ["thread", "EPERM"], result


@pytest.mark.skipif(shutil.which("java") is None, reason="no Java on this machine")
def test_java(mcp: Mcp, registry: Registry) -> None:
    lines, result = run(mcp, registry, "java", {"Main.java": JAVA}, "java", "${bundle}/Main.java")
    assert lines == ["thread", REFUSED, "[name:lo (lo)]"], result


def test_a_wrapper_that_replaces_itself_is_told_what_to_ask_for(mcp: Mcp, registry: Registry) -> None:
    files = {"start.sh": SHELL}
    lines, result = run(mcp, registry, "wrapper", files, "sh", "${bundle}/start.sh")
    assert lines == ["before"]
    assert result.status == 126
    assert WARNING in result.stderr
    lines, result = run(mcp, registry, "free", files, "sh", "${bundle}/start.sh", subprocess=True)
    assert (lines, result.status) == (["before", "replaced"], 0)


FORKING = """
import os, threading, time
idle = [threading.Thread(target=time.sleep, args=(60,), daemon=True) for _ in range(100)]
for thread in idle:
    thread.start()
children = 0
try:
    while children < 50:
        if os.fork() == 0:
            time.sleep(60)
        children += 1
except OSError as error:
    print(children, error.strerror, flush=True)
os._exit(0)
"""


def test_processes_are_counted_and_threads_are_not(mcp: Mcp, registry: Registry) -> None:
    lines, result = run(
        mcp, registry, "forks", {"main.py": FORKING}, "python3", "${bundle}/main.py", subprocess=True
    )
    assert lines == ["5 Resource temporarily unavailable"], result
    assert "the server tried to start more than its 6 processes" in result.stderr


HUNGRY = """
import os, time
held, children = [], []
for part in range(8):
    if os.fork() == 0:
        held = bytearray(os.urandom(1 << 20) * 32)
        time.sleep(60)
time.sleep(60)
"""


def test_the_memory_of_all_processes_together_is_limited(mcp: Mcp, registry: Registry) -> None:
    resources = {"memory_mb": 128, "max_processes": 16}
    _, result = run(
        mcp,
        registry,
        "hungry",
        {"main.py": HUNGRY},
        "python3",
        "${bundle}/main.py",
        subprocess=True,
        resources=resources,
    )
    assert result.status == 137
    assert "the server was killed: memory limit 128 MB" in result.stderr
    record = end_record(mcp)
    assert (record["outcome"], record["signal"]) == ("oom", 9)
    assert record["peak_memory_bytes"] > 100 << 20
