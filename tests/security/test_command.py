"""Attacks on the whole command: what is told to whom, and what one package can do to another."""

import json
import os
import shutil

import pytest
from kit import mounted, programs
from kit.bundle import manifest_form, pack_files, package
from kit.command import Mcp, refused
from kit.registry import Registry

SECRET = "s3cr3t-7f41"


def _server(reference: str, source: str, *args: str, **fields: object):
    form = manifest_form(reference, "python3", "-I", "-S", "${bundle}/main.py", *args, **fields)
    return package(form, pack_files({"main.py": source}))


def _everything_below(folder: str) -> bytes:
    found = b""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    found += file.read()
    return found


def test_what_is_given_to_a_server_is_written_down_nowhere(mcp: Mcp, registry: Registry) -> None:
    """Options, variables and arguments may be passwords; only the server hears them."""
    option = {"type": "string", "required": True}
    source = "import os, sys; print(sys.argv[1:], os.environ['API_KEY'])"
    registry.publish(_server("test/told@1.0.0", source, "${config.token}", config={"token": option}))
    flags = ["--set", f"token={SECRET}-1", "--env", f"API_KEY={SECRET}-2"]
    result = mcp.run("run", "-v", *flags, "test/told@1.0.0", "--", "--password", f"{SECRET}-3")
    assert result.status == 0, result.stderr
    for number in "123":
        assert f"{SECRET}-{number}".encode() in result.stdout
    assert SECRET not in result.stderr
    written = _everything_below(mcp.folder)
    assert b'"API_KEY"' in written
    assert SECRET.encode() not in written


def test_the_commands_own_arguments_are_not_told_to_the_server(mcp: Mcp, registry: Registry) -> None:
    source = """
import os
seen = b""
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        seen += open(f"/proc/{name}/cmdline", "rb").read()
        seen += open(f"/proc/{name}/comm", "rb").read()
print(seen)
"""
    registry.publish(_server("test/asking@1.0.0", source))
    result = mcp.run("run", "--env", f"API_KEY={SECRET}", "test/asking@1.0.0")
    assert result.status == 0, result.stderr
    assert SECRET.encode() not in result.stdout
    assert b"--env" not in result.stdout
    assert b"mcp" in result.stdout or b"python" in result.stdout


def test_a_namesake_of_another_registry_gets_another_data_folder(mcp: Mcp) -> None:
    source = """
import os
os.chdir(os.environ["DATA"])
print(sorted(os.listdir(".")))
open("kept", "w").close()
"""
    form = {"filesystem": {"data": True}, "env": {"DATA": "${data}"}}
    seen = []
    for _ in range(2):
        with Registry() as served:
            served.publish(_server("test/named@1.0.0", source, **form))
            environment = {"MCP_REGISTRY_URL": served.url, "MCP_CACHE_DIR": f"{mcp.folder}/cache-{len(seen)}"}
            # The second run of each finds what the first one left.
            seen += [mcp.run("run", "test/named@1.0.0", env=environment) for _ in range(2)]
    assert [result.status for result in seen] == [0] * 4, seen[0].stderr
    assert [result.stdout for result in seen] == [b"[]\n", b"['kept']\n"] * 2


def test_root_does_not_believe_a_home_of_somebody_else(warm: Mcp, tmp_path: os.PathLike[str]) -> None:
    """A config there would name programs to execute."""
    home = f"{tmp_path}/home"
    shutil.copytree(warm.home, home, symlinks=True)
    reference = programs.single().reference
    own = warm.run("run", "--offline", reference, "--", "leave", "3", env={"MCP_HOME": home})
    assert own.status == 3, own.stderr
    if os.geteuid() == 0:
        os.chown(home, 1, 1)
        result = warm.run("run", "--offline", reference, "--", "leave", "3", env={"MCP_HOME": home})
    else:
        # Root of a namespace in which this user is somebody else.
        prefix = ["unshare", "--user", "--map-root-user"]
        result = warm.run("run", reference, env={"MCP_HOME": "/usr/share"}, prefix=prefix)
    refused(result, "config-unreadable")


@pytest.mark.parametrize("below", ["sub", "sub/deeper"])
def test_what_is_mounted_below_a_read_only_grant_is_read_only_too(
    warm: Mcp, below: str, tmp_path: os.PathLike[str]
) -> None:
    granted = f"{tmp_path}/granted"
    os.makedirs(f"{granted}/{below}")
    os.chmod(granted, 0o777)
    prefix = mounted.tmpfs(f"{granted}/{below}", "mode=0777")
    reference = programs.single().reference
    for access, expected in (("ro", "r-"), ("rw", "rw")):
        flags = ["--mount", f"{granted}:/mnt/x:{access}"]
        result = warm.run("run", *flags, reference, "--", "files", f"/mnt/x/{below}", prefix=prefix)
        assert result.status == 0, result.stderr
        assert result.stdout.decode().split() == [f"/mnt/x/{below}", expected]


def test_the_record_of_a_run_cannot_be_reached_by_the_server(mcp: Mcp, registry: Registry) -> None:
    source = """
import os, sys
for path in sys.argv[1:]:
    try:
        os.stat(path)
        print("seen", path)
    except OSError:
        pass
"""
    registry.publish(_server("test/looking@1.0.0", source))
    assert mcp.run("run", "test/looking@1.0.0").status == 0
    places = [os.path.join(parent, name) for parent, _, names in os.walk(mcp.home) for name in names]
    assert any(path.endswith("audit.log") for path in places)
    result = mcp.run("run", "test/looking@1.0.0", "--", *places[:50], mcp.home)
    assert (result.status, result.stdout) == (0, b""), result.stderr
    grant = mcp.run("run", "--mount", f"{mcp.home}:/mnt/x", "test/looking@1.0.0")
    refused(grant, "mount-refused")


def test_a_failed_start_says_so_in_the_record_and_runs_nothing(mcp: Mcp, registry: Registry) -> None:
    registry.publish(_server("test/none@1.0.0", "print('ran')"))
    flags = ["--mount", f"{mcp.folder}:/mnt/x/y", "--mount", f"{mcp.temporary}:/mnt/x"]
    os.symlink("/etc", f"{mcp.temporary}/y")
    result = mcp.run("run", *flags, "test/none@1.0.0")
    assert result.status == 125
    assert result.stdout == b""
    with open(f"{mcp.home}/audit.log") as file:
        events = [json.loads(line)["event"] for line in file]
    assert "start" not in events
    assert len(events) == 1
