import pytest

from mcp_client.config.document import MAX_SIZE
from mcp_client.config.file import read_config
from mcp_client.errors import MCPError


def refused(tmp_path, data):
    path = tmp_path / "config.yaml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(MCPError) as caught:
        read_config(str(path))
    error = caught.value
    assert error.code == "config-invalid"
    assert error.message.startswith(f"{path}, line ")
    assert error.message.isprintable()
    assert error.hint
    return error


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("log:\n  level: loud\n", 2, "log.level", "expected one of debug, info, warning, error, got 'loud'"),
        ("log:\n  level: off\n", 2, "log.level", "expected text, got false"),
        ("log:\n  format: xml\n", 2, "log.format", "expected 'text' or 'json', got 'xml'"),
        ("\n\nregistry:\n\n  insecure: 1\n", 5, "registry.insecure", "expected true or false, got 1"),
        ("registry: {timeout: [1]}", 1, "registry.timeout", "expected a duration such as"),
        ("registry: {timeout: }", 1, "registry.timeout", "got nothing"),
        ("registry: 5", 1, "registry", "expected keys and values, got 5"),
        ("cache:\n  dir: here\n", 2, "cache.dir", "expected an absolute path or one that starts with ~/"),
        ('cache:\n  dir: "/a\\0b"\n', 2, "cache.dir", "expected an absolute path"),
        ("cache:\n  max_size: 0\n", 2, "cache.max_size", "expected a size such as"),
        ("cache:\n  max_entries: true\n", 2, "cache.max_entries", "expected a whole number, got true"),
        ("cache:\n  max_entries: 1.5\n", 2, "cache.max_entries", "expected a whole number, got 1.5"),
        ("executor:\n  max_fds: 0\n", 2, "executor.max_fds", "got 0"),
        ("executor:\n  max_fds: '5'\n", 2, "executor.max_fds", "expected a whole number, got '5'"),
        ("audit: {keep: 0}", 1, "audit.keep", "got 0"),
        ("policy:\n environment:\n  deny:\n   - A\n   - B C\n", 5, "policy.environment.deny[1]", "'B C'"),
        ("policy: {environment: {deny: AWS_*}}", 1, "policy.environment.deny", "expected a list"),
        ("policy:\n network:\n  allow:\n   - a.b\n   - 0x7f.1\n", 5, "policy.network.allow[1]", "no address"),
        ("policy: {network: {allow: ['a b']}}", 1, "policy.network.allow[0]", "expected host, *.host"),
        ("policy: {network: {allow: [443]}}", 1, "policy.network.allow[0]", "expected text, got 443"),
        ("policy: {network: {allow: a.test}}", 1, "policy.network.allow", "expected a list"),
        ("policy: {network: {deny: ['tls:a.test']}}", 1, "policy.network.deny[0]", "expected no tls:"),
        ("policy: {network: {deny: ['a.test:0']}}", 1, "policy.network.deny[0]", "a port is 1 to 65535"),
        ("policy: {network: {deny: ['http://a.test']}}", 1, "policy.network.deny[0]", "expected host"),
        ("policy: {network: {open: []}}", 1, "policy.network.open", "unknown key"),
        ("runtimes:\n  node: bin/node\n", 2, "runtimes.node", "expected an absolute path"),
        ("runtimes:\n  ../node: /bin/node\n", 2, "runtimes.../node", "expected a plain name"),
        ("log: {}\nlog: {}\n", 2, "log", "given twice, first at line 1"),
        ("- a\n", 1, "", "expected keys and values, got a list"),
        ("a: [\n", 2, "", "not YAML"),
        ("a: b\n---\nc: d\n", 2, "", "not YAML"),
        ("log:\n  level: \x07\n", 2, "", "not YAML: a control character"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "a", "a YAML tag that is not for configuration"),
        ("a: !!binary aGVsbG8=\n", 1, "a", "a YAML tag that is not for configuration"),
        ("a: !!int x\n", 1, "a", "a value that does not fit its YAML tag"),
        ("? [a, b]\n: c\n", 1, "", "expected a word as key"),
        ("x: 1\n<<: {log: {}}\n", 1, "x", "unknown key"),
        ("a: " + "9" * 5000, 1, "a", "a value that does not fit"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_line_and_key(tmp_path, text, line, key, says):
    error = refused(tmp_path, text)
    assert error.details["line"] == line
    assert error.details["key"] == key
    assert f"line {line}: {key}" in error.message
    assert says in error.message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("registry: {urll: x}", "did you mean registry.url?"),
        ("registy: {url: x}", "did you mean registry?"),
        ("max_memory: 5M", "did you mean executor.max_memory?"),
        ("executor: {max_mem: 5M}", "did you mean executor.max_memory?"),
        ("registry: {timeout: x, colour: 3}", "docs/config.example.yaml lists every key with its default"),
    ],
)
def test_the_nearest_key_is_named(tmp_path, text, hint):
    assert refused(tmp_path, text).hint == hint


def test_five_problems_are_listed_in_the_order_of_the_file(tmp_path):
    error = refused(tmp_path, "".join(f"z{n}: 1\n" for n in range(7)))
    assert [f"z{n}: unknown key" in error.message for n in range(7)] == [True] * 5 + [False] * 2
    assert error.message.endswith("; and 2 more")


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@host", "https://host/?token=hunter2", "ftp://hunter2@x", "x"]
)
def test_a_url_that_is_refused_is_not_repeated(tmp_path, url):
    error = refused(tmp_path, f"registry: {{url: '{url}'}}")
    assert "hunter2" not in error.message
    assert "registry.url" in error.message


def test_bytes_that_are_no_utf8_have_a_line(tmp_path):
    assert refused(tmp_path, b"log: {}\n\xff\xfe").details["line"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        "a: " + "{b: " * 5000,
        "- " * 10_000,
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a: &a ["
        + "1," * 99
        + "1]\n"
        + "".join(
            f"{new}: &{new} [{','.join(f'*{old}' for _ in range(99))}]\n"
            for old, new in zip("abcde", "bcdef", strict=True)
        ),
        "#" * (MAX_SIZE + 1),
    ],
    ids=["flow", "maps", "sequences", "loop", "map-loop", "billion-laughs", "too-large"],
)
def test_bombs_are_refused(tmp_path, text):
    refused(tmp_path, text)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\ufeff{}\n", "~", "{}"])
def test_a_file_may_say_nothing(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert read_config(str(path)) == {}


def test_anchors_work_within_reason(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("registry: {timeout: &t 7s}\nexecutor: {grace: *t}\n")
    assert read_config(str(path)) == {"registry": {"timeout": 7.0}, "executor": {"grace": 7.0}}


def test_only_what_was_given_is_returned(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("executor: {max_memory: none, default_timeout: null, max_cpu: 1500}")
    assert read_config(str(path)) == {
        "executor": {"max_memory": None, "default_timeout": None, "max_cpu": 1500}
    }


def test_a_section_whose_lines_are_commented_out_says_nothing(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("log:\nruntimes:\npolicy:\n  environment:\n    deny:\n      # - AWS_*\n")
    assert read_config(str(path)) == {"policy": {"environment": {}}}


@pytest.mark.parametrize("entry", ["*.example.com", "*example", "*"])
def test_a_host_that_begins_with_a_star_without_quotes_is_told_about_them(tmp_path, entry):
    error = refused(tmp_path, f"policy:\n  network:\n    allow:\n      - {entry}\n")
    assert "line 4: not YAML" in error.message
    assert error.message.endswith("text that begins with * stands in quotes")
