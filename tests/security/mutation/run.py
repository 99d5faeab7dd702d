"""Switch each control off and run the security tests: a control that nobody notices is a failure.

A row that nobody of its own selection notices is tried on all security tests. Everything must pass first
where nothing is switched off.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
SECURITY = os.path.dirname(HERE)
ROOT = os.path.dirname(os.path.dirname(SECURITY))
sys.path[:0] = (SECURITY, os.path.join(ROOT, "src"))

from mutation.table import MUTATIONS, Mutation  # noqa: E402  only now can it be found

_PATH = os.pathsep.join((SECURITY, os.path.join(ROOT, "src")))
_PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout=60")
# Two at a time keep two processors busy, and workers would cost each of them a second.
_ALONE = ("-p", "no:xdist")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (?:tests/security/)?(\S+::.*?)(?: - .*)?$", re.MULTILINE)
# A set-up that failed, where the test did not expect it.
_REFUSED = re.compile(r"^E .*errors\.MCPError: ", re.MULTILINE)
_SECONDS = 600
# Launches that fail on purpose: whether they do says nothing of a control. Rows name them where it does.
_INJURING = {"test_fail_closed.py", "test_sudden_death.py"}
_PASSED, _SOME_FAILED, _NONE_SELECTED = 0, 1, 5


class Outcome(NamedTuple):
    """What became of one mutation: ids of the tests that noticed, and whether a server starts at all."""

    mutation: Mutation
    noticed_by: tuple[str, ...]
    starts: bool
    seconds: float


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description="Switch the sandbox's controls off one by one.")
    parser.add_argument("--only", metavar="WORD", default="", help="rows whose name contains it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rows at a time")
    parser.add_argument("--list", action="store_true", help="show the rows and do nothing")
    options = parser.parse_args()
    root = os.geteuid() == 0
    chosen = [row for row in MUTATIONS if options.only in row.name and (root or not row.as_root)]
    if options.list or not chosen:
        _say(*(f"{row.name:28} {row.disables}" for row in chosen))
        return 0 if chosen else 2
    problem = _baseline(chosen)
    if problem:
        _say("the tests fail where nothing is switched off:", problem)
        return 2
    began = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = []
        for outcome in pool.map(_try, chosen):
            outcomes.append(outcome)
            _say(_line(outcome))
    unnoticed = [outcome.mutation.name for outcome in outcomes if not outcome.noticed_by]
    _say("", f"{len(outcomes)} controls switched off in {time.monotonic() - began:.0f} s")
    _say(f"nobody noticed {len(unnoticed)}: {', '.join(unnoticed)}" if unnoticed else "each was noticed")
    return 1 if unnoticed else 0


def _baseline(chosen: Iterable[Mutation]) -> str:
    """What fails without a mutation; nothing if all is well."""
    files = sorted({file for row in chosen for file in row.tests})
    words = sorted({row.words for row in chosen})
    selected = "" if "" in words else " or ".join(f"({word})" for word in words)
    done = _run(None, files, selected, ("-n", "auto"))
    return "" if done.returncode == _PASSED else done.stdout[-3000:]


def _try(mutation: Mutation) -> Outcome:
    began = time.monotonic()
    noticed, output = _failing(mutation, mutation.tests, mutation.words)
    if not noticed:
        noticed, output = _failing(mutation, _everything(), "")
        # Not in the baseline: what fails without the mutation as well has not noticed it.
        noticed = tuple(test for test in noticed if _run(None, [test], "", _ALONE).returncode == _PASSED)
    return Outcome(mutation, noticed, _REFUSED.search(output) is None, time.monotonic() - began)


def _failing(mutation: Mutation, files: Sequence[str], words: str) -> tuple[tuple[str, ...], str]:
    """Up to three tests that fail, and all that pytest said."""
    done = _run(mutation, files, words, _ALONE)
    if done.returncode in {_PASSED, _NONE_SELECTED}:
        return (), done.stdout
    noticed = tuple(dict.fromkeys(_FAILED.findall(done.stdout)))[:3]
    if done.returncode != _SOME_FAILED or not noticed:
        raise SystemExit(
            f"{mutation.name}: pytest ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return noticed, done.stdout


def _everything() -> Sequence[str]:
    return sorted(
        name for name in os.listdir(SECURITY) if re.fullmatch(r"test_\w+\.py", name) and name not in _INJURING
    )


def _run(
    mutation: Mutation | None, files: Sequence[str], words: str, more: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="mutation-") as filters:
        environment = {**os.environ, "PYTHONPATH": _PATH, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [*_PYTEST, *more]
        if mutation is not None:
            environment |= {"MCP_MUTATION": mutation.name, "MCP_MUTATION_FILTERS": filters}
            command += ["-p", "mutation.plugin"]
        command += ["-k", words] if words else []
        command += [os.path.join(SECURITY, file) for file in files]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS
        )


def _line(outcome: Outcome) -> str:
    noticed = ", ".join(outcome.noticed_by) or "NOBODY"
    noticed += "" if outcome.starts else " (nothing starts)"
    return f"{outcome.mutation.name:28} {outcome.mutation.disables:40} {outcome.seconds:4.0f} s  {noticed}"


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
