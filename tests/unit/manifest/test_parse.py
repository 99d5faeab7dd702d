import json

import pytest

from mcp_client.errors import MCPError
from mcp_client.manifest.model import ConfigOption, Entrypoint, HTTPEndpoint, Resources, from_form, to_form
from mcp_client.manifest.parse import parse_manifest

SEED = {
    "name": "org/hello-world",
    "version": "1.2.3",
    "description": "Simple hello world MCP server",
    "author": "Acme Corp",
    "license": "MIT",
    "entrypoints": {
        "linux-amd64": {"command": "./bin/mcp-server", "args": ["--mode", "stdio"]},
        "darwin-amd64": {"command": "./bin/mcp-server", "args": ["--mode", "stdio"]},
    },
    "transport": "stdio",
    "environment": {"allowed_names": ["LOG_LEVEL", "API_KEY"], "deny_patterns": ["*_PASSWORD", "*_SECRET"]},
    "network": {"allowlist": ["api.example.com", "10.0.0.0/8"]},
    "subprocess": False,
    "resources": {"cpu_millicores": 1000, "memory_mb": 512, "max_processes": 10, "max_fds": 100},
}
FULL = SEED | {
    "entrypoints": {
        "linux-x86_64": {
            "command": "python3",
            "args": ["-m", "server", "${config.roots}", "--cache=${data}", "$${HOME}"],
            "env": {"PYTHONPATH": "${bundle}/lib", "LEVEL": "${config.level}"},
        }
    },
    "transport": "http",
    "runtime": {"python": ">=3.11,<3.12"},
    "config": {
        "roots": {"type": "directory", "multiple": True, "required": True, "access": "rw"},
        "level": {"type": "number", "default": 3, "description": "How much"},
        "names": {"multiple": True, "default": ["a", "b"]},
        "fast": {"type": "boolean", "default": True},
    },
    "filesystem": {"data": True},
    "requires": {"commands": ["git", "git"]},
    "http": {"port": 8080, "port_env": "PORT", "path": "/mcp", "health": "/healthz"},
}


def parse(document):
    return parse_manifest(json.dumps(document).encode())


def refused(document):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(MCPError) as caught:
        parse_manifest(data)
    error = caught.value
    assert error.code == "manifest-invalid"
    assert error.message.isprintable()
    assert error.hint
    return error.message


def with_value(path, value):
    """The full manifest with ``value`` at the dotted ``path``."""
    document = json.loads(json.dumps(FULL))
    *parents, last = path.split(".")
    inner = document
    for part in parents:
        inner = inner.setdefault(part, {})
    inner[last] = value
    return document


def test_the_published_example_is_valid():
    manifest = parse(SEED)
    assert (manifest.name, manifest.version) == ("org/hello-world", "1.2.3")
    assert manifest.entrypoints["darwin-amd64"] == Entrypoint("./bin/mcp-server", ("--mode", "stdio"), {})
    assert manifest.allowed_env == ("LOG_LEVEL", "API_KEY")
    assert manifest.denied_env == ("*_PASSWORD", "*_SECRET")
    assert manifest.network == ("api.example.com", "10.0.0.0/8")
    assert manifest.resources == Resources(1000, 512, 10, 100)
    assert manifest.subprocess is False
    assert manifest.http is None


def test_every_optional_field_is_read():
    manifest = parse(FULL)
    assert list(manifest.entrypoints) == ["linux-amd64"]
    assert manifest.entrypoints["linux-amd64"].env["PYTHONPATH"] == "${bundle}/lib"
    assert manifest.runtime == {"python": ">=3.11,<3.12"}
    assert manifest.config["roots"] == ConfigOption("directory", True, True, "rw")
    assert manifest.config["level"] == ConfigOption("number", default="3", description="How much")
    assert manifest.config["names"].default == ("a", "b")
    assert manifest.config["fast"].default == "true"
    assert manifest.data_folder is True
    assert manifest.required_commands == ("git",)
    assert manifest.http == HTTPEndpoint(8080, "PORT", "/mcp", "/healthz")


def test_a_silent_manifest_asks_for_nothing():
    manifest = parse({key: SEED[key] for key in ("name", "version", "entrypoints", "transport")})
    assert manifest.allowed_env == manifest.network == manifest.required_commands == ()
    assert manifest.subprocess is False
    assert manifest.data_folder is False
    assert manifest.resources == Resources(None, None, None, None)


def test_an_http_server_has_a_port_and_is_told_it():
    silent = parse(SEED | {"transport": "http"}).http
    assert silent == HTTPEndpoint(8080, None, "/mcp", None)
    assert silent.environment == {"PORT": "8080", "MCP_PORT": "8080"}
    named = parse(SEED | {"transport": "http", "http": {"port": 80, "port_env": "FASTMCP_PORT"}}).http
    assert named == HTTPEndpoint(80, "FASTMCP_PORT", "/mcp", None)
    assert named.environment == {"PORT": "80", "MCP_PORT": "80", "FASTMCP_PORT": "80"}
    assert parse(SEED | {"http": {"port": 80}}).http is None


@pytest.mark.parametrize("document", [SEED, FULL])
def test_the_form_survives_json(document):
    manifest = parse(document)
    assert from_form(json.loads(json.dumps(to_form(manifest)))) == manifest


def test_unknown_fields_are_ignored():
    assert parse(SEED | {"future": {"x": [1]}, "resources": {"gpu": 1}}).resources == Resources()


@pytest.mark.parametrize("field", ["name", "version", "entrypoints", "transport"])
def test_a_missing_field_is_named(field):
    document = {key: value for key, value in SEED.items() if key != field}
    assert f"{field}: expected a value, and there is none" in refused(document)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("name", "Org/Name", "name: expected org/name in lower case, got 'Org/Name'"),
        ("name", "a/../b", "name: expected org/name"),
        ("name", 5, "name: expected text, got 5"),
        ("version", "latest", "version: expected an exact semantic version"),
        ("version", "sha:abcdef0", "version: expected an exact semantic version"),
        ("version", "1.2.3\n", "version: expected an exact semantic version"),
        ("description", ["x"], "description: expected text, got a list of 1"),
        ("description", "x" * 20_000, "description: expected at most 10000 characters"),
        ("author", "\ud800", "author: expected Unicode text"),
        ("transport", "tcp", "transport: expected 'stdio' or 'http', got 'tcp'"),
        ("subprocess", "false", "subprocess: expected true or false, got 'false'"),
        ("entrypoints", {}, "entrypoints: expected at least 1"),
        ("entrypoints", [], "entrypoints: expected an object, got a list of 0"),
        ("entrypoints.linux", {"command": "x"}, "entrypoints: expected <os>-<arch>"),
        ("entrypoints.linux-amd64", {"command": "x"}, "entrypoints: expected one entrypoint for linux-amd64"),
        ("entrypoints.linux-arm64", {"args": []}, "entrypoints.linux-arm64.command: expected a value"),
        ("entrypoints.linux-x86_64.args", "x", "entrypoints.linux-amd64.args: expected a list"),
        ("entrypoints.linux-x86_64.args", ["a", 3], "entrypoints.linux-amd64.args[1]: expected text, got 3"),
        (
            "entrypoints.linux-x86_64.args",
            ["a"] * 1001,
            "entrypoints.linux-amd64.args: expected at most 1000",
        ),
        ("entrypoints.linux-x86_64.args", ["a" * 131_072], "args[0]: expected at most 131071 bytes"),
        ("entrypoints.linux-x86_64.args", ["é" * 70_000], "args[0]: expected at most 131071 bytes"),
        ("entrypoints.linux-x86_64.args", ["a" * 131_000] * 9, "at most 1000000 bytes together"),
        ("entrypoints.linux-x86_64.args", ["a\0b"], "args[0]: expected text without control characters"),
        ("entrypoints.linux-x86_64.args", ["\ud800"], "args[0]: expected text without control characters"),
        ("entrypoints.linux-x86_64.args", ["\udc80"], "args[0]: expected Unicode text"),
        ("entrypoints.linux-x86_64.args", ["${x}"], "args[0]: unknown variable '${x}'"),
        ("entrypoints.linux-x86_64.args", ["${config.x}"], "args[0]: unknown variable '${config.x}'"),
        ("entrypoints.linux-x86_64.args", ["${"], "args[0]: expected ${name} or $${"),
        ("entrypoints.linux-x86_64.env", {"A=B": "x"}, "entrypoints.linux-amd64.env.A=B: expected"),
        ("entrypoints.linux-x86_64.env", {"A": "x\ny"}, "env.A: expected text without control characters"),
        ("entrypoints.linux-x86_64.env", {"A": "${nope}"}, "env.A: unknown variable '${nope}'"),
        ("filesystem.data", False, "unknown variable '${data}' (filesystem.data is not true)"),
        ("environment.allowed_names", ["A-B"], "environment.allowed_names[0]: expected"),
        ("environment.deny_patterns", ["A B"], "environment.deny_patterns[0]: expected"),
        ("network.allowlist", ["ok.example", "http://x"], "network.allowlist[1]: expected host, *.host"),
        ("resources.memory_mb", 0, "resources.memory_mb: expected at least 1, got 0"),
        ("resources.memory_mb", True, "resources.memory_mb: expected a whole number, got true"),
        ("resources.memory_mb", 0.5, "resources.memory_mb: expected a whole number, got 0.5"),
        ("resources.max_fds", 10**30, "resources.max_fds: expected at most 1048576"),
        ("runtime.python", "^3", "runtime.python: expected a version constraint"),
        ("runtime", {"/bin/python": ">=3"}, "runtime./bin/python: expected the bare name"),
        ("config.bad name", {}, "config.bad name: expected"),
        ("config.x", {"type": "path"}, "config.x.type: expected 'string', 'number'"),
        ("config.x", {"access": "w"}, "config.x.access: expected 'ro' or 'rw'"),
        ("config.x", {"type": "directory", "default": "/root/.ssh"}, "config.x: expected no default"),
        ("config.x", {"type": "file", "multiple": True, "default": []}, "config.x: expected no default"),
        ("config.x", {"multiple": True, "default": "a"}, "config.x: expected a list as default"),
        ("config.x", {"default": ["a"]}, "config.x: expected a list as default"),
        ("config.x", {"type": "number", "default": "3"}, "config.x: expected a number"),
        ("config.x", {"type": "boolean", "default": 1}, "config.x: expected true or false"),
        ("config.x", {"default": {"a": 1}}, "config.x.default: expected text, a number"),
        ("config.x", {"default": "a\0"}, "config.x.default: expected text without control"),
        ("requires.commands", ["/bin/sh"], "requires.commands[0]: expected the bare name"),
        ("http.port", 70_000, "http.port: expected at most 65535"),
        ("http.path", "mcp", "http.path: expected"),
        ("http.path", "/a\r\nb", "http.path: expected"),
    ],
)
def test_what_is_wrong_is_said_with_its_json_path(path, value, says):
    assert says in refused(with_value(path, value))


@pytest.mark.parametrize(
    "command",
    ["/bin/sh", "../x", "a/../../x", "bin/", "./", ".", "..", "", "a/..", "C:\\x", "C:/x", "a\\b",
     "${bundle}/x", "a/${data}", "x\0", "bin/x\n", "a b", "-x", "a" * 65, "d/" * 3000 + "x"],
)  # fmt: skip
def test_a_command_stays_below_the_bundle_or_is_a_bare_name(command):
    assert "entrypoints.linux-amd64.command: expected" in refused(
        with_value("entrypoints.linux-x86_64.command", command)
    )


@pytest.mark.parametrize(
    "command", ["python3", "node", "./server", "bin/server", "a/b c/d", "./a/./b", "python3.11"]
)
def test_commands_that_are_fine(command):
    manifest = parse(with_value("entrypoints.linux-x86_64.command", command))
    assert manifest.entrypoints["linux-amd64"].command == command


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        (b"[]", "the document: expected an object, got a list of 0"),
        (b"null", "the document: expected an object, got null"),
        (b'"x"', "the document: expected an object, got 'x'"),
        (b"\xff{}", "expected UTF-8 text"),
        (json.dumps(SEED).encode("utf-16"), "expected UTF-8 text"),
        (b'{"name": "a/b", "name": "a/c"}', "the key 'name' is given twice"),
        (b'{"x": {"\\u001b[2J": 1, "\\u001b[2J": 2}}', "the key '\\x1b[2J' is given twice"),
        (b'{"x": NaN}', "not JSON: NaN"),
        (b'{"x": -Infinity}', "not JSON: -Infinity"),
        (b'{"x": ' + b"9" * 10_000 + b"}", "a number of thousands of digits"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_not_a_json_object_is_refused(data, says):
    assert says in refused(data)


def test_a_number_too_large_for_a_float_is_no_limit():
    data = json.dumps(SEED).replace('"memory_mb": 512', '"memory_mb": 1e999').encode()
    assert "resources.memory_mb: expected" in refused(data)


def test_five_problems_at_most():
    document = SEED | {"network": {"allowlist": ["\x1b[2J evil"] * 9}}
    message = refused(document)
    assert message.count("network.allowlist[") == 5
    assert message.endswith("; and 4 more")
    assert len(message) < 2000


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("entrypoints", {f"a{n}-b": {} for n in range(65)}),
        ("entrypoints.linux-x86_64.env", {f"A{n}": "" for n in range(1001)}),
        ("config", {f"a{n}": 5 for n in range(101)}),
        ("runtime", {f"a{n}": "x" for n in range(17)}),
    ],
)
def test_objects_are_counted_before_they_are_read(path, value):
    message = refused(with_value(path, value))
    assert f": expected at most {len(value) - 1} of them, got an object" in message
    assert ";" not in message


def test_half_a_surrogate_in_a_key_is_refused_or_ignored_but_never_crashes():
    assert parse(SEED | {"\ud800": 1}).name == SEED["name"]
    assert "config" in refused(SEED | {"config": {"\ud800": {}}})
    assert "entrypoints" in refused(SEED | {"entrypoints": {"\ud800": {"command": "x"}}})
