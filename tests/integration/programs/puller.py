"""``mcp pull`` in many processes at once: forked from one that has imported everything.

    puller.py COUNT REF...

A line on standard input starts them, each with the references in another order, and another one lets them
be waited for: until then a pid is nobody else's. A line of standard output tells of each, when it ended: its
pid, its status (negative for a signal), and what it said on standard error.
"""

import json
import os
import random
import sys

import mcp_client.cache.evict
import mcp_client.cache.heal
import mcp_client.cache.publish
import mcp_client.cli.pull
import mcp_client.manifest.parse
import mcp_client.registry.https  # noqa: F401  what each of them needs is imported once
from mcp_client.cli.main import main


def pull_all(number: int, references: list[str], errors: int) -> int:
    """One process; it does not come back."""
    os.dup2(errors, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    shuffled = random.Random(number).sample(references, len(references))
    try:
        return main(["pull", *shuffled])
    except BaseException:  # noqa: BLE001
        import traceback

        traceback.print_exc()
        return 255


def start(count: int, references: list[str]) -> None:
    """Start ``count`` processes, tell their pids, and wait for all of them."""
    files = [os.memfd_create(str(number)) for number in range(count)]
    print("ready", flush=True)
    sys.stdin.readline()
    numbers: dict[int, int] = {}
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(pull_all(number, references, files[number]))
        numbers[pid] = number
    print(json.dumps(list(numbers)), flush=True)
    sys.stdin.readline()
    while numbers:
        pid, waited = os.wait()
        number = numbers.pop(pid)
        said = os.pread(files[number], 1 << 16, 0).decode(errors="replace")
        print(json.dumps([pid, os.waitstatus_to_exitcode(waited), said]), flush=True)


if __name__ == "__main__":
    start(int(sys.argv[1]), sys.argv[2:])
