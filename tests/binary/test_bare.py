"""The single file on a Debian without Python: nothing of the machine's own is there to lean on."""

import json
import os
import shutil
import subprocess

import pytest
from forms import FILE
from kit import folder
from kit.bundle import Package, manifest_form, pack_files, package
from kit.registry import Registry

from conftest import USER, Bare

CLIENT = {"name": "test", "version": "1"}
PARAMETERS = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
HELLO = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": PARAMETERS}).encode() + b"\n"
REGISTRY = "MCP_REGISTRY_URL"


@pytest.fixture(scope="session")
def static_server(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A server in C, linked statically, as a package."""
    built = os.path.join(tmp_path_factory.mktemp("static"), "server")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.c")
    subprocess.run(["musl-gcc", "-static", "-Os", "-o", built, source], check=True)
    with open(built, "rb") as file:
        bundle = pack_files({"server": file.read()}, executable=["server"])
    return package(manifest_form("test/static@1.0.0", "./server"), bundle)


def mcp(bare: Bare) -> str:
    return os.path.join(bare.shared, "mcp")


def test_the_machine_has_no_python(bare: Bare) -> None:
    for name in ("python3", "python", "ldconfig.real", "gcc", "objdump"):
        assert bare.run("sh", "-c", f"command -v {name}").returncode != 0, name
    assert bare.run("find", "/usr", "/opt", "-name", "*python3*").stdout == b""


@pytest.mark.parametrize("uid", [0, USER])
def test_doctor_finds_every_control(bare: Bare, uid: int) -> None:
    done = bare.run(mcp(bare), "doctor", "--json", uid=uid)
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    controls = {control["name"]: control["state"] for control in report["result"]["controls"]}
    assert controls.pop("system-calls") == "enforced"
    assert controls.pop("filesystem") == "enforced"
    assert "unavailable" not in controls.values()


def test_the_embedded_server_runs_on_the_python_that_came_along(bare: Bare) -> None:
    done = bare.run(mcp(bare), "run", "acme/hello-world@1.2.3", given=HELLO)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["serverInfo"]["name"] == "acme/hello-world"
    assert done.stderr == b""


def test_a_static_server_from_a_folder_gets_a_sandbox_and_its_status_comes_out(
    bare: Bare, static_server: Package
) -> None:
    url = folder.publish(os.path.join(bare.shared, "registry"), static_server)
    done = bare.run(mcp(bare), "run", static_server.reference, given=HELLO, env={REGISTRY: url})
    assert (done.returncode, json.loads(done.stdout)["result"]) == (7, {"static": True}), done.stderr


def test_a_package_is_pulled_over_http_and_asked_about_again_beside_its_run(
    bare: Bare, static_server: Package
) -> None:
    config = "registry: {revalidate: 1ms}\n"
    with Registry() as registry:
        registry.publish(static_server)
        script = (
            f'mkdir -p ~/.mcp && printf %s "{config}" > ~/.mcp/config.yaml; {mcp(bare)} pull $1 >&2 && '
            f"(sleep 3) | {mcp(bare)} run $1; echo $?; {mcp(bare)} cache ls --json"
        )
        done = bare.run("sh", "-c", script, "sh", static_server.reference, env={REGISTRY: registry.url})
        assert done.stdout.startswith(b"7\n"), done.stderr
        assert json.loads(done.stdout.partition(b"\n")[2])["result"]["entries"], done.stdout
        assert len(registry.requests("resolve")) >= 2, "nobody asked again"


def test_the_debian_package_installs_runs_and_goes_without_a_trace(bare: Bare) -> None:
    (name,) = [name for name in os.listdir(os.path.dirname(FILE)) if name.endswith(".deb")]
    shutil.copy(os.path.join(os.path.dirname(FILE), name), bare.shared)
    # On a layer of its own: the root is kept for other tests.
    script = f"""
        set -e
        export PATH=$PATH:/usr/sbin:/sbin
        mount -t tmpfs tmpfs /mnt
        mkdir /mnt/upper /mnt/work /mnt/root
        mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
        mount --rbind /dev /mnt/root/dev
        mount -t proc proc /mnt/root/proc
        cp {bare.shared}/{name} /mnt/root/package.deb
        cd /mnt/root
        mkdir -p .before
        pivot_root . .before
        cd /
        umount -l /.before
        dpkg --install /package.deb >&2
        mcp --version
        mcp-client doctor >&2
        echo '{HELLO.decode().strip()}' | mcp run acme/hello-world@1.2.3
        test -s /usr/share/man/man1/mcp.1.gz -a -s /usr/share/bash-completion/completions/mcp
        dpkg --purge mcp-client >&2
        find /usr/lib/mcp-client /usr/bin/mcp >&2 || exit 0
        exit 1
    """
    done = bare.run("sh", "-c", script, uid=0)
    assert done.returncode == 0, done.stderr.decode()
    version, answer = done.stdout.decode().splitlines()
    assert version.startswith("mcp-client ")
    assert "acme/hello-world" in answer
