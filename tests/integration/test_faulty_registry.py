"""300 seeded registries, each faulty in its own way: the right package or one clear error, and no harm."""

import json
import os
import subprocess
import sys

from kit import fault_runs

RUNS = 300
# Most of a run is waiting for a registry that does not answer.
PROCESSES = 6
ALONE = "python tests/integration/kit/fault_runs.py FOLDER {} 1"


def test_a_faulty_registry_does_no_harm(tmp_path: os.PathLike[str]) -> None:
    ended: dict[int, str | None] = {}
    problems: list[str] = []
    workers = [_start(str(tmp_path), first) for first in range(PROCESSES)]
    for worker in workers:
        said, complaint = worker.communicate()
        begun = None
        for line in said.splitlines():
            report = json.loads(line)
            if "begins" in report:
                begun = report["begins"]
                continue
            begun, seed = None, report["seed"]
            ended[seed] = report["code"]
            problems += [f"{ALONE.format(seed)}: {problem}" for problem in report["problems"]]
        if worker.returncode or complaint or begun is not None:
            problems.append(f"{ALONE.format(begun)}: it ended with {worker.returncode}: {complaint[-3000:]}")
    assert not problems, "\n".join(problems)
    assert sorted(ended) == list(range(RUNS))
    # Both ends must be met, or the faults are too weak or too strong to show anything.
    assert list(ended.values()).count(None) > RUNS // 4
    assert len(set(ended.values())) > 6


def test_the_judge_sees_what_must_not_be(tmp_path: os.PathLike[str]) -> None:
    """A judge that finds nothing proves nothing, so it is shown each kind of harm."""
    served = fault_runs.make_package()
    home = os.path.join(tmp_path, "home")
    bundles = os.path.join(home, "cache", "bundles", "sha256:" + "0" * 64)
    with fault_runs.FaultyRegistry(1, served, "sesame-0123456789") as registry:
        line = "mcp: error[registry-protocol]: x\n  hint: y\n"
        assert fault_runs.judge(fault_runs.Pull(1, "", line), registry, home) == []
        for status, stdout, stderr, found in (
            (1, "", "", "not one clear error"),
            (1, "", line + line, "not one clear error"),
            (0, "", line, "not one clear error"),
            (1, "", line + "Traceback (most recent call last)\n", "a traceback"),
            (1, "", line.replace("registry-protocol", "internal-error"), "no failure of a registry"),
            (1, "\x1b[2J", line, "control characters"),
            (1, "", line.replace("x", "sesame-0123456789"), "the token was told"),
            (0, "", "", "a success without the package"),
        ):
            seen = fault_runs.judge(fault_runs.Pull(status, stdout, stderr), registry, home)
            assert found in " ".join(seen), (stderr, seen)
        registry.requests["elsewhere"] = [b"GET / HTTP/1.1\r\nAuthorization: Bearer x\r\nCookie: a=b\r\n\r\n"]
        os.makedirs(bundles)
        with open(os.path.join(bundles, "bundle.tar.gz"), "wb") as opened:
            opened.write(b"sesame-0123456789")
        seen = fault_runs.judge(fault_runs.Pull(1, "", line), registry, home)
        for found in ("the token went elsewhere", "a cookie", "the token is in", "has the digest"):
            assert found in " ".join(seen), seen


def _start(folder: str, first: int) -> subprocess.Popen[str]:
    own = os.path.join(folder, str(first))
    os.mkdir(own)
    count = RUNS - first
    return subprocess.Popen(
        [sys.executable, fault_runs.__file__, own, str(first), str(count), str(PROCESSES)],
        env={"HOME": own, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
