import os
import stat
import subprocess
import sys
import tempfile

import pytest

from mcp_client.config.load import load_settings
from mcp_client.config.settings import (
    AuditSettings,
    CacheSettings,
    ExecutorSettings,
    LogSettings,
    PolicySettings,
    RegistrySettings,
)
from mcp_client.errors import MCPError


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".mcp").mkdir()
    return tmp_path


def put(path, text):
    """Write ``text`` with a time in the past: a file that was written just now is not remembered."""
    path.write_text(text)
    os.utime(path, ns=(10**18, 10**18))


def config(home, text):
    put(home / ".mcp" / "config.yaml", text)


def load(home, overrides=None, **environ):
    return load_settings(
        overrides or {}, {"HOME": str(home), **environ}, policy_file=str(home / "policy.yaml")
    )


def refused(home, overrides=None, **environ):
    with pytest.raises(MCPError) as caught:
        load(home, overrides, **environ)
    return caught.value


def test_without_any_file_everything_has_its_default(home):
    settings = load(home)
    mcp = str(home / ".mcp")
    assert settings.home == mcp
    assert settings.config_file is None
    assert settings.registry == RegistrySettings()
    assert settings.cache == CacheSettings(dir=f"{mcp}/cache")
    assert settings.executor == ExecutorSettings()
    assert settings.policy == PolicySettings()
    assert settings.audit == AuditSettings(file=f"{mcp}/audit.log")
    assert settings.log == LogSettings()
    assert settings.runtimes == {}


def test_the_file_of_the_readme_is_read(home):
    config(home, "registry:\n  url: https://Registry.example.com/\n  timeout: 10s\n"
                 "executor:\n  default_timeout: 5m\n  max_memory: 512M\n")  # fmt: skip
    settings = load(home)
    assert settings.config_file == str(home / ".mcp" / "config.yaml")
    assert settings.registry.url == "https://registry.example.com"
    assert settings.registry.timeout == 10
    assert settings.executor.default_timeout == 300
    assert settings.executor.max_memory == 512 << 20


def test_flags_win_over_variables_over_the_file_over_defaults(home):
    config(
        home, "registry: {url: 'https://file.example'}\nlog: {level: debug}\nexecutor: {default_timeout: 1m}"
    )
    variables = {"MCP_REGISTRY_URL": "https://env.example", "MCP_LOG_LEVEL": "INFO", "MCP_TIMEOUT": "2m"}
    flags = {"registry": "https://flag.example", "log_level": "error", "timeout": "none"}

    def seen(settings):
        return settings.registry.url, settings.log.level, settings.executor.default_timeout

    assert seen(load(home)) == ("https://file.example", "debug", 60)
    assert seen(load(home, **variables)) == ("https://env.example", "info", 120)
    assert seen(load(home, flags, **variables)) == ("https://flag.example", "error", None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://registry.example.com", "HTTPS://Registry.Example.COM./"),
        ("https://registry.example.com", "https://registry.example.com:443"),
        ("https://registry.example.com/a", "https://registry.example.com:0443/a//"),
        ("http://127.0.0.1", "http://127.0.0.1:80/"),
        ("https://[2001:db8::1]:8443", "https://[2001:DB8:0:0::1]:8443/"),
        ("file:///srv/mcp", "file://localhost/srv//mcp/"),
    ],
)
def test_one_registry_has_one_spelling(home, one, other):
    """By it is found what the registry said before."""
    assert load(home, MCP_REGISTRY_URL=other).registry.url == one
    assert load(home, MCP_REGISTRY_URL=one).registry.url == one


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://registry.example.com", "http://registry.example.com"),
        ("https://registry.example.com", "https://registry.example.com:8443"),
        ("https://registry.example.com/a", "https://registry.example.com/A"),
        ("https://registry.example.com:80", "https://registry.example.com"),
    ],
)
def test_two_registries_have_two(home, one, other):
    assert load(home, MCP_REGISTRY_URL=one).registry.url != load(home, MCP_REGISTRY_URL=other).registry.url


@pytest.mark.parametrize("url", ["https://.", "https://[1]", "https://[::1", "https://[::g]"])
def test_what_is_no_host_is_no_registry(home, url):
    assert refused(home, MCP_REGISTRY_URL=url).code == "config-invalid"


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("ON", True), ("false", False), ("", False)])
def test_offline_by_a_variable(home, text, expected):
    assert load(home, MCP_OFFLINE=text).registry.offline is expected


def test_offline_is_on_or_off(home):
    assert refused(home, MCP_OFFLINE="perhaps").code == "config-invalid"
    config(home, "registry: {offline: true}")
    assert load(home, MCP_OFFLINE="0").registry.offline is False
    assert load(home, {"offline": "on"}, MCP_OFFLINE="0").registry.offline is True


def test_an_empty_variable_is_unset(home):
    config(home, "registry: {url: 'https://file.example'}")
    settings = load(
        home, MCP_REGISTRY_URL="", MCP_TIMEOUT="", MCP_HOME="", MCP_CONFIG="", MCP_REGISTRY_TOKEN=" "
    )
    assert settings.registry.url == "https://file.example"
    assert settings.registry.token is None


def test_the_embedded_registry_can_be_asked_for_by_name(home):
    config(home, "registry: {url: 'https://file.example'}")
    assert load(home, {"registry": "embedded"}).registry.url is None


def test_paths_expand_and_become_absolute(home):
    config(home, "cache: {dir: ~/elsewhere/}\naudit: {file: /var/log/../log/a}\nruntimes: {node: ~/n/node}")
    settings = load(home)
    assert settings.cache.dir == str(home / "elsewhere")
    assert settings.audit.file == "/var/log/a"
    assert settings.runtimes == {"node": str(home / "n" / "node")}
    assert load(home, MCP_CACHE_DIR="~/other").cache.dir == str(home / "other")
    assert load(home, MCP_HOME="~/moved").cache.dir == str(home / "moved" / "cache")


def test_the_token_comes_from_the_environment_and_never_shows(home):
    registry = load(home, MCP_REGISTRY_TOKEN="hunter2\n").registry
    assert registry.token == "hunter2"
    assert "hunter2" not in repr(registry)


@pytest.mark.parametrize(
    ("file", "environ", "flags", "url", "configured"),
    [
        (None, {}, {}, None, None),
        ("https://a", {}, {}, "https://a", "https://a"),
        ("https://a", {"MCP_REGISTRY_URL": "https://b"}, {}, "https://b", "https://b"),
        ("https://a", {}, {"registry": "https://c"}, "https://c", "https://a"),
        ("https://a", {"MCP_REGISTRY_URL": "https://b"}, {"registry": "https://c"}, "https://c", "https://b"),
        ("https://a", {"MCP_REGISTRY_URL": "embedded"}, {"registry": "https://a"}, "https://a", None),
        (None, {}, {"registry": "https://c"}, "https://c", None),
    ],
)
def test_a_flag_does_not_choose_whose_the_token_is(home, file, environ, flags, url, configured):
    if file:
        config(home, f"registry: {{url: '{file}'}}")
    registry = load(home, flags, **environ).registry
    assert (registry.url, registry.configured) == (url, configured)


def test_authorities_of_ones_own(home):
    config(home, "registry: {ca_file: ~/own.pem}")
    assert load(home).registry.ca_file == str(home / "own.pem")
    assert load(home, MCP_REGISTRY_CA_FILE="/etc/other.pem").registry.ca_file == "/etc/other.pem"
    assert load(home, MCP_REGISTRY_CA_FILE="").registry.ca_file == str(home / "own.pem")
    config(home, "registry: {ca_file: none}")
    assert load(home).registry.ca_file is None


@pytest.mark.parametrize(
    ("overrides", "environ", "code", "source"),
    [
        ({"timeout": "soon"}, {}, "usage", "--timeout"),
        ({"log_level": "loud"}, {}, "usage", "--log-level"),
        ({"registry": "ftp://x"}, {}, "usage", "--registry"),
        ({"registry": ""}, {}, "usage", "--registry"),
        ({}, {"MCP_TIMEOUT": "soon"}, "config-invalid", "MCP_TIMEOUT"),
        ({}, {"MCP_LOG_LEVEL": "\x1b[2J"}, "config-invalid", "MCP_LOG_LEVEL"),
        ({}, {"MCP_REGISTRY_URL": "https://u:hunter2@x"}, "config-invalid", "MCP_REGISTRY_URL"),
        ({}, {"MCP_REGISTRY_URL": "https://x/?token=hunter2"}, "config-invalid", "MCP_REGISTRY_URL"),
    ],
)
def test_a_bad_flag_or_variable_is_named_and_secrets_are_not(home, overrides, environ, code, source):
    error = refused(home, overrides, **environ)
    assert error.code == code
    assert error.message.startswith(f"{source}: expected")
    assert error.message.isprintable()
    assert "hunter2" not in error.message


def test_a_named_file_must_exist(home):
    assert refused(home, {"config": str(home / "none.yaml")}).code == "config-unreadable"
    assert refused(home, MCP_CONFIG=str(home / "none.yaml")).code == "config-unreadable"
    put(home / "other.yaml", "log: {level: debug}")
    assert load(home, {"config": str(home / "other.yaml")}).log.level == "debug"
    assert load(home, {"config": os.devnull}).log.level == "warning"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_unreadable_and_does_not_hang(home, make):
    make(home / ".mcp" / "config.yaml")
    assert refused(home).code == "config-unreadable"


def test_a_loop_of_links_is_unreadable(home):
    os.symlink("config.yaml", home / ".mcp" / "config.yaml")
    assert refused(home).code == "config-unreadable"


UNREADABLE = """
import os, sys
import mcp_client.config.file  # the other user may not be able to read this interpreter
from mcp_client.config.load import load_settings
from mcp_client.errors import MCPError
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    load_settings({}, {"HOME": sys.argv[1]}, policy_file=sys.argv[1] + "/policy.yaml")
except MCPError as error:
    print(error.code, error.message)
"""


@pytest.mark.parametrize("name", [".mcp/config.yaml", "policy.yaml"])
def test_a_file_without_permission_is_unreadable_not_absent(name):
    # Not below tmp_path, which another user cannot enter.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            file.write("executor: {max_fds: 3}\n")
        os.chmod(path, 0)
        run = subprocess.run(
            [sys.executable, "-c", UNREADABLE, folder], capture_output=True, text=True, check=True
        )
    assert run.stdout.startswith("config-unreadable")
    assert path in run.stdout


def test_the_policy_file_only_narrows(home):
    config(home, "policy: {subprocess: true, environment: {deny: [A_*, B]}}\n"
                 "executor: {max_memory: 1G, max_fds: 100, grace: 9s}")  # fmt: skip
    put(home / "policy.yaml", "policy: {subprocess: false, environment: {deny: [B, C]}}\n"
                              "executor: {max_memory: 2G, max_fds: 50, max_processes: 7}")  # fmt: skip
    settings = load(home)
    assert set(settings.policy.environment_deny) == {"A_*", "B", "C"}
    assert settings.policy.subprocess is False
    executor = settings.executor
    assert (executor.max_memory, executor.max_fds, executor.max_processes) == (1 << 30, 50, 7)
    assert executor.max_cpu is None
    assert executor.grace == 9


def test_the_policy_file_gives_nothing_back(home):
    config(home, "policy: {subprocess: false}\nexecutor: {max_fds: 10}")
    put(
        home / "policy.yaml", "policy: {subprocess: true, environment: {deny: []}}\nexecutor: {max_fds: none}"
    )
    settings = load(home)
    assert settings.policy.subprocess is False
    assert settings.executor.max_fds == 10


def test_the_policy_file_bounds_hosts_and_adds_denials(home):
    config(home, "policy: {network: {allow: [Api.Example.com., '*.b.test'], deny: [a.test]}}")
    assert load(home).policy == PolicySettings(
        network_allow=("api.example.com", "*.b.test"), network_deny=("a.test",)
    )
    put(home / "policy.yaml", "policy: {network: {allow: ['*', 10.0.0.0/8], deny: [a.test, c.test]}}")
    policy = load(home).policy
    assert policy.network_allow == ("api.example.com", "*.b.test")
    assert policy.network_bound == ("*", "10.0.0.0/8")
    assert set(policy.network_deny) == {"a.test", "c.test"}
    put(home / "policy.yaml", "policy: {network: {allow: []}}")
    assert load(home).policy.network_bound == ()
    put(home / "policy.yaml", "policy: {network: {deny: ['*']}}")
    assert load(home).policy.network_bound is None
    assert load(home).policy.network_deny == ("*", "a.test")


def test_hosts_of_the_policy_file_are_remembered_like_the_rest(home):
    put(home / "policy.yaml", "policy: {network: {allow: [a.test]}}")
    assert load(home).policy.network_bound == load(home).policy.network_bound == ("a.test",)
    assert (home / ".mcp" / "config.memo").exists()


@pytest.mark.parametrize(
    "text", ["registry: {url: embedded}", "executor: {grace: 1s}", "policy: {allow: []}"]
)
def test_the_policy_file_has_no_other_keys(home, text):
    put(home / "policy.yaml", text)
    error = refused(home)
    assert error.code == "config-invalid"
    assert str(home / "policy.yaml") in error.message


def heavy(home):
    """Which heavy modules a fresh process imports to load the settings of ``home``."""
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom mcp_client.config.load import load_settings\n"
        f"s = load_settings({{}}, {{'HOME': {str(home)!r}}}, policy_file={str(home / 'policy.yaml')!r})\n"
        "names = 'yaml pydantic dataclasses pathlib asyncio subprocess tempfile shutil'.split()\n"
        "print(s.executor.max_fds, *(n for n in names if n in set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    limit, *modules = run.stdout.split()
    return limit, set(modules)


def test_no_file_and_an_unchanged_file_need_neither_yaml_nor_pydantic(home):
    assert heavy(home) == ("None", set())
    config(home, "executor: {max_fds: 3}")
    put(home / "policy.yaml", "executor: {max_fds: 2}")
    limit, modules = heavy(home)
    assert limit == "2"
    assert {"yaml", "pydantic"} <= modules
    assert heavy(home) == ("2", set())


def test_a_change_of_any_file_is_seen(home):
    config(home, "executor: {max_fds: 30}")
    assert load(home).executor.max_fds == 30
    config(home, "executor: {max_fds: 31}")
    assert load(home).executor.max_fds == 31
    put(home / "policy.yaml", "executor: {max_fds: 7}")
    assert load(home).executor.max_fds == 7
    put(home / "policy.yaml", "executor: {max_fds: 8}")
    assert load(home).executor.max_fds == 8
    (home / "policy.yaml").unlink()
    assert load(home).executor.max_fds == 31
    (home / ".mcp" / "config.yaml").unlink()
    assert load(home).executor.max_fds is None


def test_another_version_of_the_program_reads_again(home, monkeypatch):
    config(home, "executor: {max_fds: 3}")
    load(home)
    memo = home / ".mcp" / "config.memo"
    memo.write_text(memo.read_text().replace('"max_fds":3', '"max_fds":4'))
    assert load(home).executor.max_fds == 4, "the memo is what a warm run reads"
    monkeypatch.setattr("mcp_client.config.memo.VERSION", "another")
    assert load(home).executor.max_fds == 3


def test_the_memo_is_private_and_holds_no_token(home):
    config(home, "executor: {max_fds: 3}")
    load(home, MCP_REGISTRY_TOKEN="hunter2")
    memo = home / ".mcp" / "config.memo"
    assert stat.S_IMODE(memo.stat().st_mode) == 0o600
    assert "hunter2" not in memo.read_text()
    assert sorted(os.listdir(home / ".mcp")) == ["config.memo", "config.yaml"]


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"identity": []}', "\x00" * 9, "[" * 100_000])
def test_a_damaged_memo_is_ignored(home, damage):
    config(home, "executor: {max_fds: 3}")
    load(home)
    (home / ".mcp" / "config.memo").write_text(damage)
    assert load(home).executor.max_fds == 3


def test_a_memo_that_others_can_write_is_not_believed(home):
    config(home, "executor: {max_fds: 3}")
    load(home)
    memo = home / ".mcp" / "config.memo"
    memo.write_text(memo.read_text().replace('"max_fds":3', '"max_fds":4'))
    memo.chmod(0o666)
    assert load(home).executor.max_fds == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_memo_of_another_user_is_not_believed(home):
    config(home, "executor: {max_fds: 3}")
    load(home)
    memo = home / ".mcp" / "config.memo"
    memo.write_text(memo.read_text().replace('"max_fds":3', '"max_fds":4'))
    os.chown(memo, 65534, 65534)
    assert load(home).executor.max_fds == 3


def test_a_file_written_this_instant_is_not_remembered(home):
    path = home / ".mcp" / "config.yaml"
    path.write_text("executor: {max_fds: 3}")
    future = 4 * 10**18
    os.utime(path, ns=(future, future))
    assert load(home).executor.max_fds == 3
    assert not (home / ".mcp" / "config.memo").exists()


def test_a_home_that_cannot_take_the_memo_is_no_failure(home):
    put(home / "c.yaml", "executor: {max_fds: 3}")
    (home / "file").write_text("")
    settings = load(home, {"config": str(home / "c.yaml")}, MCP_HOME=str(home / "file" / "x"))
    assert settings.executor.max_fds == 3
