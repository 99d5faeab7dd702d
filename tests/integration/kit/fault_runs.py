"""``mcp pull`` from a faulty registry, many times in one process. Says what must not have happened.

    python tests/integration/kit/fault_runs.py FOLDER FIRST COUNT [STEP]

One JSON line a seed. The first pull meets the faults of the seed, the second one, with the same home, none.
"""

import faulthandler
import gc
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kit.bundle import Package, manifest_form, pack_files, package
from kit.faulty import FaultyRegistry
from mcp_client.cli.main import main
from mcp_client.registry import failures

REFERENCE = "test/faulty@1.0.0"
# Nothing takes longer than this, on however slow a machine; who still runs hangs.
_HANGING = 60
_LINE = re.compile(r"mcp: error\[([a-z-]+)\]: [^\n]+\n  hint: [^\n]+\n")
_WARNING = re.compile(r"mcp: warning: [^\n]+\n")
# What the display tells of a download that came to its end, whatever came of it.
_PROGRESS = re.compile(rf"mcp: {re.escape(REFERENCE)}: bundle, [^\n]+\n")
# Not among them: internal-error, and whatever would blame this machine or its user.
_CLEAR = frozenset(
    """bundle-invalid bundle-too-large digest-invalid digest-mismatch download-too-large download-truncated
    forbidden manifest-invalid manifest-mismatch package-not-found package-revoked rate-limited
    registry-protocol registry-rejected registry-unavailable registry-untrusted unauthorized""".split()
)
_SETTINGS = """\
registry:
  connect_timeout: {seconds}
  timeout: {seconds}
  download_timeout: {whole}
  max_manifest: 100kB
  max_bundle: 1MB
"""


class Pull(NamedTuple):
    status: int
    stdout: str
    stderr: str

    @property
    def code(self) -> str | None:
        found = _LINE.search(self.stderr)
        return found[1] if found else None


def make_package() -> Package:
    """Large enough for every way of reading a body, and incompressible, so that each byte counts."""
    noise = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(15_000))
    form = manifest_form(REFERENCE, "python3", "${bundle}/main.py", note="x" * 5000)
    return package(form, pack_files({"main.py": "print()", "noise": noise}))


def run(seed: int, folder: str, served: Package) -> dict[str, Any]:
    """One seed: how it ended, and the ``problems``, which should be none."""
    token = f"sesame-{hashlib.sha256(b'%d' % seed).hexdigest()[:40]}"
    home = os.path.join(folder, f"home-{seed}")
    with FaultyRegistry(seed, served, token) as registry:
        os.environ.update(MCP_HOME=home, TMPDIR=folder, MCP_REGISTRY_URL=registry.url("home"))
        os.environ["MCP_REGISTRY_TOKEN"] = token
        _configure(home, "250ms", "3s")
        began = time.monotonic()
        first = _pull(folder)
        seconds = time.monotonic() - began
        problems = [f"first: {problem}" for problem in judge(first, registry, home)]
        registry.sound = True
        _configure(home, "30s", "60s")
        # Whatever the first one met, the second one heals; --refresh, so that the registry is asked again.
        second = _pull(folder, "--refresh")
        problems += [f"second: {problem}" for problem in judge(second, registry, home)]
        if second.status != 0:
            problems.append(f"second: it ended with {second.status}: {second.stderr}")
        staging = os.path.join(home, "cache", "staging")
        if os.path.isdir(staging) and os.listdir(staging):
            problems.append(f"second: left in staging: {os.listdir(staging)}")
    shutil.rmtree(home, ignore_errors=True)
    return {
        "seed": seed,
        "code": first.code,
        "seconds": round(seconds, 2),
        "faults": registry.faults,
        "problems": problems,
    }


def judge(pull: Pull, registry: FaultyRegistry, home: str) -> list[str]:
    problems = []
    said = pull.stdout + pull.stderr
    if "Traceback" in said:
        problems.append(f"a traceback: {said}")
    if any(not (letter.isprintable() or letter == "\n") for letter in said):
        problems.append(f"control characters: {said!a}")
    left = _LINE.sub("", _WARNING.sub("", _PROGRESS.sub("", pull.stderr)))
    if left or len(_LINE.findall(pull.stderr)) != (pull.status != 0):
        problems.append(f"not one clear error (status {pull.status}): {pull.stderr!a}")
    if pull.status and pull.code not in _CLEAR:
        problems.append(f"{pull.code} is no failure of a registry: {pull.stderr!a}")
    if pull.status == 0 and (REFERENCE not in pull.stdout or not _is_cached(registry.package, home)):
        problems.append("a success without the package")
    if registry.token in said:
        problems.append(f"the token was told: {said}")
    return problems + _leaks(registry, home) + _damage(home)


def _leaks(registry: FaultyRegistry, home: str) -> list[str]:
    token = registry.token.encode()
    away = registry.requests["elsewhere"]
    problems = [
        f"the token went elsewhere: {request!a}"
        for request in away
        if token in request or b"\r\nauthorization:" in request.lower()
    ]
    problems += [
        f"a cookie or a password: {request!a}"
        for request in [*away, *registry.requests["home"]]
        if b"\r\ncookie:" in request.lower() or b"\r\nproxy-authorization:" in request.lower()
    ]
    for path in _files(home):
        with open(path, "rb") as opened:
            if token in opened.read():
                problems.append(f"the token is in {path}")
    return problems


def _damage(home: str) -> list[str]:
    problems = []
    for kind, name in (("manifests", "manifest.json"), ("bundles", "bundle.tar.gz")):
        folder = os.path.join(home, "cache", kind)
        for entry in os.listdir(folder) if os.path.isdir(folder) else ():
            with open(os.path.join(folder, entry, name), "rb") as opened:
                found = hashlib.sha256(opened.read()).hexdigest()
            if not entry.endswith(found):
                problems.append(f"{kind}/{entry} has the digest {found}")
    return problems


def _is_cached(served: Package, home: str) -> bool:
    return all(
        any(name.endswith(digest[7:]) for name in os.listdir(os.path.join(home, "cache", kind)))
        for kind, digest in zip(
            ("manifests", "bundles", "trees"), (*served.digests, served.digests[1]), strict=True
        )
    )


def _files(folder: str) -> list[str]:
    return [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]


def _configure(home: str, seconds: str, whole: str) -> None:
    os.makedirs(home, mode=0o700, exist_ok=True)
    with open(os.path.join(home, "config.yaml"), "w") as opened:
        opened.write(_SETTINGS.format(seconds=seconds, whole=whole))


def _pull(folder: str, *options: str) -> Pull:
    """Call ``mcp`` as its console script does, with files for what it says."""
    paths = [os.path.join(folder, name) for name in ("stdout", "stderr")]
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number, path in enumerate(paths, 1):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(descriptor, number)
            os.close(descriptor)
        status = main(["--log-level", "debug", "pull", REFERENCE, *options])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        for number, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
    gc.collect()
    texts = []
    for path in paths:
        with open(path, encoding="utf-8", errors="surrogateescape") as opened:
            texts.append(opened.read())
    return Pull(status, *texts)


def _main() -> None:
    folder, first, count, *step = sys.argv[1:]
    # Three pauses of up to two seconds would be most of the time.
    failures._FIRST_WAIT = 0.01
    sys.argv[:] = ["mcp"]
    served = make_package()
    output = os.fdopen(os.dup(1), "w")
    alarm = os.fdopen(os.dup(2), "w")
    with tempfile.TemporaryDirectory(dir=folder) as own:
        for seed in range(int(first), int(first) + int(count), int(*step or (1,))):
            faulthandler.dump_traceback_later(_HANGING, exit=True, file=alarm)
            print(json.dumps({"begins": seed}), file=output, flush=True)
            print(json.dumps(run(seed, own, served)), file=output, flush=True)
            faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    _main()
