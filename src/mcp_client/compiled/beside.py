"""Beside a first run: start the process that compiles its package (job.py), when the server runs."""

from __future__ import annotations

import time

from mcp_client import platforms
from mcp_client.background import start_background
from mcp_client.cache.compiled import claim_compilation, postpone_compilation
from mcp_client.light import TYPE_CHECKING
from mcp_client.manifest.entrypoint import select_entrypoint
from mcp_client.manifest.expand import expand, variables

if TYPE_CHECKING:
    import select
    from collections.abc import Callable, Mapping
    from typing import Any

    from mcp_client.app import App
    from mcp_client.background import Background
    from mcp_client.cache.store import CachedPackage
    from mcp_client.compiled.find import Recipe
    from mcp_client.manifest.model import Entrypoint, Manifest
    from mcp_client.policy.model import Policy

# The user waits for the server, and nobody for this.
_DELAY_SECONDS = 2.0


class Compilation:
    """A process that is started when its time has come; has its turns in the supervisor's loop."""

    def __init__(
        self, given: Mapping[str, Any], give_up: Callable[[], object], delay: float = _DELAY_SECONDS
    ) -> None:
        """``given`` is for job.main(); ``give_up`` lets somebody else do it."""
        self._given = given
        self._give_up = give_up
        self._process: Background | None = None
        self.due_at: float | None = time.monotonic() + delay

    def watch(self, poll: select.poll) -> None:
        """There is nothing to wait for yet but the time."""

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:
        """Start the process, or reap it."""
        if self._process is not None:
            self._process.move(poll, ready)
        elif self.due_at is not None and time.monotonic() >= self.due_at:
            self.due_at = None
            self._process = start_background("mcp_client.compiled.job", self._given)
            if self._process is not None:
                self._process.watch(poll)

    def finish(self, _signals: int | None) -> None:
        """After the session nobody waits: what is not finished falls to another one."""
        if self._process is not None:
            self._process.finish(None)
        if self._process is None or self._process.was_killed:
            self._give_up()


def begin_compilation(
    app: App, package: CachedPackage, manifest: Manifest, policy: Policy, recipe: Recipe, run_id: str
) -> Compilation | None:
    """Compile ``package``, unless it falls to another process, or the cache cannot be written."""
    digest = package.resolution.bundle.digest
    if not app.cache.writable or not claim_compilation(app.cache, digest, recipe.key):
        return None

    def give_up() -> None:
        postpone_compilation(app.cache, digest, recipe.key, 0)
        app.close()

    return Compilation(order(app, package, manifest, policy, recipe, run_id), give_up)


def order(
    app: App, package: CachedPackage, manifest: Manifest, policy: Policy, recipe: Recipe, run_id: str
) -> dict[str, Any]:
    """What job.main() is given: the author's and the operator's, nothing of what was granted."""
    entrypoint = _without_user(select_entrypoint(manifest, platforms.current()))
    entrypoint = expand(entrypoint, {"bundle": app.backend.bundle_path(package.tree)})
    runtime = recipe.interpreter.runtime
    return {
        "overrides": app.overrides,
        "run_id": run_id,
        "reference": str(package.resolution.reference),
        "digest": str(package.resolution.bundle.digest),
        "key": recipe.key,
        "language": recipe.language,
        "executable": runtime.executable,
        "paths": list(runtime.paths),
        "command": entrypoint.command,
        "arguments": [*recipe.interpreter.arguments, *entrypoint.args],
        "environment": dict(entrypoint.env),
        "limits": list(policy.limits),
        "subprocess": policy.subprocess,
    }


def _without_user(entrypoint: Entrypoint) -> Entrypoint:
    """As the author wrote it, without what would hold anything of the user's."""

    def plain(text: str) -> bool:
        return set(variables(text)) <= {"bundle"}

    return entrypoint._replace(
        args=tuple(text for text in entrypoint.args if plain(text)),
        env={name: text for name, text in entrypoint.env.items() if plain(text)},
    )
