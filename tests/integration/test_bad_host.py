"""What can be wrong on this side: configuration, full or read-only disks, the audit log, options."""

import os

import pytest
from kit import mounted, programs
from kit.bundle import Package, manifest_form, pack_files, package
from kit.command import Mcp, refused
from kit.registry import Registry

ONE = programs.single()


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("log:\n  level: warning\nregistri:\n  url: x\n", 3, "registri"),
        ("registry:\n  timout: 3s\n", 2, "timout"),
        ("registry:\n  timeout: soon\n", 2, "timeout"),
        ("executor:\n  max_memory: [1]\n", 2, "max_memory"),
        ("cache:\n  max_size: -1\n", 2, "max_size"),
        ("log:\n  level: loud\n", 2, "level"),
    ],
)
def test_a_wrong_key_is_named_with_file_and_line(
    mcp: Mcp, registry: Registry, text: str, line: int, key: str
) -> None:
    path = mcp.configure(text)
    result = mcp.run("run", ONE.reference)
    refused(result, "config-invalid")
    assert path in result.stderr
    assert key in result.message
    assert str(line) in result.stderr.replace(path, "")
    assert registry.log == []


@pytest.mark.parametrize(
    "text", ["a: [", "- just\n- a list\n", "\x00", "!!python/object/apply:os.system [id]\n"]
)
def test_a_config_that_is_no_mapping(mcp: Mcp, text: str) -> None:
    mcp.configure(text)
    refused(mcp.run("run", ONE.reference), "config-invalid")


def test_a_named_config_that_is_not_there(mcp: Mcp) -> None:
    refused(mcp.run("--config", f"{mcp.folder}/none.yaml", "run", ONE.reference), "config-unreadable")


@pytest.mark.parametrize("name", ["MCP_TIMEOUT", "MCP_LOG_LEVEL"])
def test_a_wrong_variable_is_named(mcp: Mcp, name: str) -> None:
    result = mcp.run("run", ONE.reference, env={name: "nonsense"})
    refused(result, "config-invalid")
    assert name in result.stderr


def test_a_cache_on_a_read_only_disk(mcp: Mcp, registry: Registry) -> None:
    registry.publish(ONE)
    prefix = mounted.tmpfs(f"{mcp.folder}/cache", "ro")
    result = mcp.run("run", ONE.reference, env={"MCP_CACHE_DIR": f"{mcp.folder}/cache"}, prefix=prefix)
    refused(result, "cache-unwritable")
    assert f"{mcp.folder}/cache" in result.stderr


def test_a_cache_where_a_file_is_in_the_way(mcp: Mcp, registry: Registry) -> None:
    registry.publish(ONE)
    with open(f"{mcp.folder}/file", "w"):
        pass
    result = mcp.run("run", ONE.reference, env={"MCP_CACHE_DIR": f"{mcp.folder}/file/cache"})
    refused(result, "cache-unwritable")


def big_package() -> Package:
    noise = os.urandom(3_000_000)
    return package(
        manifest_form("test/big@1.0.0", "python3", "${bundle}/main.py"),
        pack_files({"main.py": "", "noise": noise}),
    )


@pytest.mark.parametrize("size", ["1m", "4m"], ids=["while-downloading", "while-unpacking"])
def test_a_full_disk(mcp: Mcp, registry: Registry, size: str) -> None:
    """The small disk holds the cache; what is on it at the end is looked at before it goes away."""
    big = big_package()
    registry.publish(big)
    folder = f"{mcp.folder}/cache"
    script = 'listing="$1"; shift; "$@"; status=$?; cd "$MCP_CACHE_DIR" && find . > "$listing"; exit $status'
    prefix = [
        *mounted.tmpfs(folder, f"size={size},mode=0700"),
        "sh",
        "-c",
        script,
        "sh",
        f"{mcp.folder}/listing",
    ]
    result = mcp.run("run", big.reference, env={"MCP_CACHE_DIR": folder}, prefix=prefix)
    refused(result, "disk-full")
    with open(f"{mcp.folder}/listing") as opened:
        left = opened.read().split("\n")
    assert not any(path.startswith(("./staging/", "./trees/")) for path in left), left
    if size == "1m":
        assert not any(path.startswith("./bundles/") for path in left), left


def test_a_full_disk_under_the_audit_log(mcp: Mcp, registry: Registry) -> None:
    """The server must not start when nobody can know that it did."""
    registry.publish(ONE)
    folder = f"{mcp.folder}/audit"
    config = f"audit:\n  file: {folder}/audit.log\n"
    mcp.configure(config)
    fill = 'cat /dev/zero > "$1/filler" 2>/dev/null; shift; exec "$@"'
    prefix = [*mounted.tmpfs(folder, "size=64k,mode=0700"), "sh", "-c", fill, "sh", folder]
    result = mcp.run("run", ONE.reference, "--", "arguments", "started", prefix=prefix)
    refused(result, "audit-unwritable")


def test_an_audit_log_that_cannot_be_written(mcp: Mcp, registry: Registry) -> None:
    registry.publish(ONE)
    with open(f"{mcp.folder}/file", "w"):
        pass
    mcp.configure(f"audit:\n  file: {mcp.folder}/file/audit.log\n")
    refused(mcp.run("run", ONE.reference, "--", "arguments", "started"), "audit-unwritable")


def test_a_home_that_cannot_be_made(mcp: Mcp) -> None:
    with open(f"{mcp.folder}/file", "w"):
        pass
    result = mcp.run("run", ONE.reference, env={"MCP_HOME": f"{mcp.folder}/file"})
    assert result.status == 125, result
    refused(result, str(result.code))


@pytest.mark.parametrize(
    "args", [("--no-such-flag",), ("--timeout", "soon"), ("--env", "=x"), ("--mount", "nonsense")]
)
def test_a_wrong_flag(mcp: Mcp, args: tuple[str, ...]) -> None:
    result = mcp.run("run", *args, ONE.reference)
    assert result.status == 125, result
    refused(result, str(result.code))


def test_an_option_that_must_be_given(mcp: Mcp, registry: Registry) -> None:
    option = {"type": "directory", "required": True}
    form = manifest_form("test/options@1.0.0", "python3", "${config.root}", config={"root": option})
    registry.publish(package(form, pack_files({"main.py": ""})))
    result = mcp.run("run", "test/options@1.0.0")
    refused(result, "option-missing")
    assert "--set root=" in str(result.hint)
    refused(mcp.run("run", "test/options@1.0.0", "--set", "other=1"), "option-invalid")
    refused(mcp.run("run", "test/options@1.0.0", "--set", f"root={mcp.folder}/none"), "option-invalid")


def test_a_mount_of_something_that_is_not_there(mcp: Mcp, registry: Registry) -> None:
    registry.publish(ONE)
    refused(mcp.run("run", "--mount", f"{mcp.folder}/none:/data", ONE.reference), "mount-refused")
