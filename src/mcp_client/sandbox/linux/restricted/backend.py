"""The restricted sandbox as the pipeline sees it; chosen only where the full one cannot be built."""

import os

from mcp_client.errors import MCPError
from mcp_client.policy.model import Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.linux import landlock
from mcp_client.sandbox.linux.backend import LinuxBackend, World, prepare_descriptors
from mcp_client.sandbox.linux.filters import Profile, load_filters
from mcp_client.sandbox.linux.refusals import WAY_AROUND
from mcp_client.sandbox.linux.restricted.launcher import RestrictedProcess
from mcp_client.sandbox.linux.restricted.layout import plan_access
from mcp_client.sandbox.spec import Bind, SandboxSpec


class RestrictedBackend(LinuxBackend):
    """Landlock, seccomp and rlimits, without namespaces: the server sees the host's own paths."""

    def __init__(self, filter_folder: str, obstacle: MCPError) -> None:
        """``filter_folder`` as in the full sandbox, ``obstacle`` is why there is none."""
        super().__init__(filter_folder)
        self._scratch_store = os.path.join(os.path.realpath(os.path.dirname(filter_folder)), "scratch")
        # The way around is the one that was taken.
        self._mend = obstacle.hint.removesuffix(WAY_AROUND)

    def bundle_path(self, tree: str) -> str:
        """The folder itself."""
        return os.path.realpath(tree)

    def data_path(self, data: str) -> str:
        """The folder itself."""
        return os.path.realpath(data)

    def compiled_path(self, compiled: str) -> str:
        """The folder itself."""
        return os.path.realpath(compiled)

    def plan(
        self,
        command: Command,
        policy: Policy,
        *,
        tree: str,
        data: str | None,
        port: int | None = None,
        compiled: str | None = None,
    ) -> SandboxSpec:
        """As in the full sandbox, but for a server that listens: the ports here are the host's."""
        if port is not None:
            raise MCPError(
                "sandbox-unavailable",
                "a server that listens needs a network of its own, and the weaker sandbox has none",
                hint=self._mend,
            )
        return super().plan(command, policy, tree=tree, data=data, compiled=compiled)

    def launch(self, spec: SandboxSpec) -> RestrictedProcess:
        """Fork and start building; the server waits behind its gate until release()."""
        if not landlock.interface_version():
            raise MCPError(
                "sandbox-unavailable",
                "this host offers neither user namespaces nor Landlock, and nothing runs without one of them",
                hint=f"{self._mend}; or use a kernel of 5.13 or later with Landlock in CONFIG_LSM",
            )
        prepare_descriptors()
        filters = load_filters(self._filter_folder, Profile(spec.subprocess, restricted=True))
        return RestrictedProcess(spec, filters, self._scratch_of(spec), self._mend)

    def _world(
        self,
        command: Command,
        policy: Policy,
        *,
        tree: str,
        data: str | None,
        listening: bool,  # noqa: ARG002  never: see plan()
        compiled: str | None,
    ) -> World:
        bundle = self.bundle_path(tree)
        scratch = os.path.join(self._scratch_store, f"{os.getpid()}-{os.urandom(8).hex()}")
        binds = plan_access(
            tree=bundle,
            data=None if data is None else self.data_path(data),
            scratch=scratch,
            runtimes=command.paths,
            folders=policy.folders,
            executable_scratch=policy.subprocess,
            compiled=None if compiled is None else self.compiled_path(compiled),
        )
        return World(binds, directory=bundle, home=scratch, temporary=scratch)

    def _scratch_of(self, spec: SandboxSpec) -> str:
        return next(
            bind.source
            for bind in spec.mounts
            if isinstance(bind, Bind) and os.path.dirname(bind.source) == self._scratch_store
        )
