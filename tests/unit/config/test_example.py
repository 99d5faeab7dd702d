"""docs/config.example.yaml is the reference of the configuration, so it is held to the program."""

import os
import re
from itertools import pairwise

import pytest
import yaml

from mcp_client.config.load import load_settings
from mcp_client.config.schema import ConfigFile, PolicyFile, known_keys
from mcp_client.config.settings import Settings

EXAMPLE = os.path.join(os.path.dirname(__file__), *[os.pardir] * 3, "docs", "config.example.yaml")

# A value other than the default for each key, and how it reads in the settings.
OTHERS = {
    "registry.url": ("file:///srv/registry", "file:///srv/registry"),
    "registry.connect_timeout": ("6s", 6.0),
    "registry.offline": (True, True),
    "registry.revalidate": ("never", None),
    "registry.timeout": ("7s", 7.0),
    "registry.download_timeout": ("8m", 480.0),
    "registry.ca_file": ("/etc/ssl/own.pem", "/etc/ssl/own.pem"),
    "registry.insecure": (True, True),
    "registry.max_manifest": ("1M", 1 << 20),
    "registry.max_bundle": ("2M", 2 << 20),
    "cache.dir": ("/elsewhere", "/elsewhere"),
    "cache.max_size": ("3M", 3 << 20),
    "cache.ttl": ("720h", 2_592_000.0),
    "cache.max_unpacked": ("4M", 4 << 20),
    "cache.max_entries": (5, 5),
    "executor.default_timeout": ("6m", 360.0),
    "executor.max_memory": ("7M", 7 << 20),
    "executor.max_cpu": (1500, 1500),
    "executor.max_processes": (8, 8),
    "executor.max_fds": (9, 9),
    "executor.grace": ("10ms", 0.01),
    "executor.start_timeout": ("2m", 120.0),
    "executor.idle_timeout": ("1h", 3600.0),
    "executor.compile": (False, False),
    "policy.environment.deny": (["*_TOKEN"], ("*_TOKEN",)),
    "policy.network.allow": (["*.Example.com"], ("*.example.com",)),
    "policy.network.deny": (["10.0.0.0/8:22"], ("10.0.0.0/8:22",)),
    "policy.subprocess": (False, False),
    "sandbox.on_missing": ("degrade", "degrade"),
    "audit.file": ("/var/log/mcp/audit.log", "/var/log/mcp/audit.log"),
    "audit.max_size": ("11M", 11 << 20),
    "audit.keep": (12, 12),
    "log.level": ("debug", "debug"),
    "log.format": ("json", "json"),
    "runtimes": ({"node": "/opt/node"}, {"node": "/opt/node"}),
}


def example():
    with open(EXAMPLE, encoding="utf-8") as file:
        return yaml.safe_load(file)


def dotted(value, prefix=""):
    keys = []
    for name, inner in value.items():
        nested = isinstance(inner, dict) and inner
        keys += dotted(inner, f"{prefix}{name}.") if nested else [prefix + name]
    return keys


def load(tmp_path, config):
    path = tmp_path / "config.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    environ = {"HOME": str(tmp_path), "MCP_CONFIG": str(path)}
    return load_settings({}, environ, policy_file=str(tmp_path / "none"))


def read(settings: Settings, key):
    if key.startswith(("policy.environment.", "policy.network.")):
        return getattr(settings.policy, key.removeprefix("policy.").replace(".", "_"))
    value = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def test_the_example_has_every_key_of_the_schema_and_no_other():
    assert sorted(dotted(example())) == sorted(known_keys(ConfigFile))


def test_the_example_states_the_defaults(tmp_path):
    with open(EXAMPLE, encoding="utf-8") as file:
        given = load(tmp_path, file.read())
    assert given == load(tmp_path, "")


def test_each_key_of_the_example_has_a_comment():
    with open(EXAMPLE, encoding="utf-8") as file:
        lines = file.read().splitlines()
    # Keys that belong together share a comment; a key right below the name of its section has none.
    uncommented = [
        line
        for before, line in pairwise(lines)
        if re.match(r" +[a-z_]+: .", line) and not re.match(r" +(#|[a-z_]+: .)", before)
    ]
    assert uncommented == []


@pytest.mark.parametrize("key", known_keys(ConfigFile))
def test_each_key_is_read_into_the_settings(tmp_path, key):
    written, expected = OTHERS[key]
    assert read(load(tmp_path, ""), key) != expected
    config = written
    for part in reversed(key.split(".")):
        config = {part: config}
    assert read(load(tmp_path, config), key) == expected


def test_the_keys_of_the_policy_file_are_keys_of_the_configuration():
    assert set(known_keys(PolicyFile)) < set(known_keys(ConfigFile))
