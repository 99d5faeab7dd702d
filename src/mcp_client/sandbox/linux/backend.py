"""The Linux sandbox as the pipeline sees it: plan, controls, launch."""

import os
import stat

from mcp_client.errors import MCPError
from mcp_client.policy.model import Limits, Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.linux import layout, libc
from mcp_client.sandbox.linux.filters import load_filters
from mcp_client.sandbox.linux.launcher import LinuxProcess
from mcp_client.sandbox.linux.syscalls import AF_UNIX
from mcp_client.sandbox.spec import Control, SandboxSpec

_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


class LinuxBackend:
    """Namespaces, seccomp and rlimits, without root."""

    bundle_path = layout.BUNDLE
    data_path = layout.DATA

    def __init__(self, filter_folder: str) -> None:
        """``filter_folder`` keeps compiled system call filters."""
        self._filter_folder = filter_folder

    def plan(self, command: Command, policy: Policy, *, tree: str, data: str | None) -> SandboxSpec:
        """The world for ``command``; ``tree`` and ``data`` are folders of the host."""
        mounts = layout.plan_mounts(
            tree=tree,
            data=data,
            runtimes=command.paths,
            folders=policy.folders,
            limits=policy.limits,
            executable_scratch=policy.subprocess,
        )
        base = {
            "HOME": layout.HOME,
            "LANG": "C.UTF-8",
            "LOGNAME": layout.USER,
            "PATH": ":".join(dict.fromkeys((*command.programs, *_PATH))),
            "TMPDIR": "/tmp",  # noqa: S108  the sandbox's own
            "USER": layout.USER,
        }
        return SandboxSpec(
            argv=command.argv,
            environment={**base, **policy.environment},
            directory=layout.BUNDLE,
            mounts=mounts,
            limits=policy.limits,
            subprocess=policy.subprocess,
        )

    def forecast(self, limits: Limits, *, subprocess: bool) -> tuple[Control, ...]:
        """What holds for a server with these limits: a whole sandbox is built, and nothing executed in it."""
        from mcp_client.sandbox.linux.probes import list_failures

        policy = Policy({}, subprocess, limits, (), ())
        # Any folder does for a bundle that nobody looks into.
        spec = self.plan(Command(("/bin/true",), (), ()), policy, tree="/usr", data=None)
        try:
            process = self.launch(spec)
            process.await_ready()
        except MCPError as error:
            return list_failures(self._filter_folder, error)
        process.kill()
        process.collect()
        return process.controls

    def launch(self, spec: SandboxSpec) -> LinuxProcess:
        """Fork and start building; the server waits behind its gate until release()."""
        _occupy_standard_descriptors()
        _refuse_network_sockets()
        filters = load_filters(self._filter_folder, subprocess=spec.subprocess)
        return LinuxProcess(spec, filters)


def _refuse_network_sockets() -> None:
    """A socket keeps the network namespace it was made in; connected anew, it would lead out of ours."""
    # Standard error is not among them: the server gets a pipe of ours.
    for descriptor in range(2):
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode) and libc.socket_family(descriptor) != AF_UNIX:
            raise MCPError(
                "sandbox-unavailable",
                f"descriptor {descriptor} is a network socket, which a server could use to leave its sandbox",
                hint="put a pipe in between, for example: cat | mcp run ... | cat",
            )


def _occupy_standard_descriptors() -> None:
    """A pipe of ours must never become descriptor 0, 1 or 2 because the caller had closed it."""
    while True:
        descriptor = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if descriptor > 2:  # noqa: PLR2004
            os.close(descriptor)
            return
        os.set_inheritable(descriptor, True)
