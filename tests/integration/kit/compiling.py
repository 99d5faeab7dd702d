"""Compile a package now: what ``mcp run`` starts beside a session, in the foreground and told how it went."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kit.command import Mcp


class Compiled(NamedTuple):
    """The ``folder`` that was made, if one was; the class and text of the ``error``, if there was one."""

    folder: str | None
    error: str | None


def compile_now(
    mcp: Mcp,
    reference: str,
    *,
    overrides: Mapping[str, str] | None = None,
    options: Sequence[tuple[str, str]] = (),
    prefix: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> Compiled:
    """In a process of its own; ``changes`` replace parts of the order, or of job.py by their names."""
    asked = {
        "reference": reference,
        "overrides": overrides or {},
        "options": options,
        "changes": changes or {},
    }
    done = subprocess.run(
        [*prefix, sys.executable, os.path.abspath(__file__), json.dumps(asked)],
        env=mcp.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Compiled(**json.loads(done.stdout))


def main(asked: Mapping[str, Any]) -> dict[str, Any]:
    from mcp_client.app import App
    from mcp_client.compiled import beside, job
    from mcp_client.planning import RunRequest, plan_run
    from mcp_client.reference import parse_reference

    app = App(asked["overrides"])
    options = [(name, value) for name, value in asked["options"]]
    plan = plan_run(app, RunRequest(parse_reference(asked["reference"]), options=options))
    assert plan.compiled.recipe is not None, "there is nothing to do"
    order = beside.order(app, plan.package, plan.manifest, plan.policy, plan.compiled.recipe, "0" * 32)
    for name, value in asked["changes"].items():
        if name in order:
            order[name] = value
        else:
            assert hasattr(job, name)
            setattr(job, name, value)
    assert beside.claim_compilation(app.cache, plan.package.resolution.bundle.digest, order["key"])
    try:
        return {"folder": job.compile_package(app, order), "error": None}
    except Exception as error:  # noqa: BLE001  that is the question
        return {"folder": None, "error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    # The sandbox takes standard output for itself.
    answer = os.dup(1)
    os.write(answer, json.dumps(main(json.loads(sys.argv[1]))).encode())
