"""Rules about the project itself: which way imports point, that documents are true, what files may say."""

import ast
import importlib.util
import os
import re
import subprocess
import tomllib

import pytest

import mcp_client

SOURCE = os.path.dirname(os.path.abspath(mcp_client.__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Words and stand-ins, which every module may use.
GROUND = {"choices", "light", "plainjson"}
LEAVES = {
    "digest",
    "errors",
    "memory",
    "platforms",
    "private",
    "reference",
    "resolution",
    "spelling",
    "system",
    "validation",
    "windows",
} | GROUND
LEAF_IMPORTS = {
    "digest": {"errors"},
    "private": {"spelling", "system"},
    "reference": {"errors"},
    "resolution": {"digest", "reference"},
    "system": {"windows"},
    "windows": {"windows"},
}
# What a package may know of another one, beside the leaves: values that flow through it, never its work.
PACKAGE_IMPORTS = {
    "audit": {"config.settings"},
    "cache": {"config.settings"},
    "config": {"network.rules"},
    "executor": {
        "network.addresses",
        "network.deadlines",
        "network.engine.engine",
        "network.engine.loop",
        "network.engine.pipe",
        "network.engine.sockets",
        "sandbox.backend",
        "sandbox.linux.egress",
        "sandbox.linux.ingress",
        "sandbox.spec",
    },
    "lock": {"config.values"},
    "logs": {"audit.redact", "config.settings"},
    "manifest": {"network.rules"},
    "network": set(),
    "policy": {"config.settings", "manifest.model", "network.combine", "network.rules"},
    "registry": {"config.settings", "network.addresses", "network.closed"},
    "runtimes": {"manifest.constraint", "manifest.model"},
    "sandbox": {
        "config.settings",
        "network.addresses",
        "network.closed",
        "network.pool",
        "network.rules",
        "policy.model",
        "runtimes.command",
    },
}
COMPOSITION = {
    *(
        "acquire",
        "announce",
        "app",
        "background",
        "compiled",
        "endpoint",
        "journal",
        "locked",
        "mirror",
        "pipeline",
        "planning",
        "recheck",
        "revalidate",
        "serving",
        "standing",
        "timings",
    ),
}
# Whole files that these libraries belong to; anywhere else they would cost every start.
EDGE_LIBRARIES = {
    "h11": {"executor"},
    "httpx": {"registry"},
    "httpcore": {"registry"},
    "socksio": {"registry"},
    "pydantic": {"config"},
    "pydantic_core": {"manifest", "registry", "validation"},
    "yaml": {"config"},
    "pyseccomp": {"sandbox"},
    "click": {"cli"},
    "structlog": {"logs"},
}
FORBIDDEN = ("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "deb." + "debian.org", "/wo" + "rk/")


def modules():
    """(dotted name below mcp_client, path) of every module; the embedded server is a bundle's content."""
    for folder, folders, files in os.walk(SOURCE):
        folders[:] = sorted(name for name in folders if name not in {"__pycache__", "embedded"})
        for name in sorted(files):
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                dotted = os.path.relpath(path, SOURCE)[:-3].replace(os.sep, ".")
                yield dotted.removesuffix(".__init__").removesuffix("__init__"), path


MODULES = dict(modules())


def imported(path):
    """Every module a file imports, at its top or inside a function; ours without the package's name."""
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("mcp_client.") in MODULES else node.module


def edges():
    for module, path in MODULES.items():
        for target in imported(path):
            if target.startswith("mcp_client."):
                yield module, target.removeprefix("mcp_client.")


def may_import(module, target):
    """Whether the edge points from cli over app and pipeline and packages to the leaves."""
    package, other = module.partition(".")[0], target.partition(".")[0]
    if other == package and package not in LEAVES | COMPOSITION:
        return True
    if package in LEAVES:
        return (other in GROUND and package != "light") or other in LEAF_IMPORTS.get(package, set())
    if package in PACKAGE_IMPORTS:
        return other in LEAVES or target in PACKAGE_IMPORTS[package]
    if package in COMPOSITION:
        return other != "cli"
    return package in {"cli", "__main__"}


def tracked(*patterns):
    """Paths of the project's own files, from git, or from the folder where there is no git."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", *patterns], capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        return [path for path in listed.stdout.split("\0") if os.path.isfile(os.path.join(ROOT, path))]
    pytest.skip("not a git checkout")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def test_imports_point_one_way():
    wrong = [f"{module} -> {target}" for module, target in edges() if not may_import(module, target)]

    assert wrong == []


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("errors", "digest"),
        ("cache.store", "registry.client"),
        ("sandbox.linux.launcher", "manifest.model"),
        ("policy.decide", "manifest.parse"),
        ("registry.client", "app"),
        ("pipeline", "cli.output"),
    ],
)
def test_the_rule_itself_refuses_what_it_should(module, target):
    assert not may_import(module, target)


def test_the_root_and_the_packages_import_nothing():
    wrong = [
        path for path in MODULES.values() if os.path.basename(path) == "__init__.py" and list(imported(path))
    ]

    assert wrong == []


def test_every_package_has_a_rule():
    packages = {module.partition(".")[0] for module in MODULES if "." in module}

    assert packages - set(PACKAGE_IMPORTS) - COMPOSITION - LEAVES - {"cli"} == set()


def test_heavy_libraries_stay_at_their_edges():
    wrong = [
        f"{module} imports {target}"
        for module, path in MODULES.items()
        for target in (name.partition(".")[0] for name in imported(path))
        if module.partition(".")[0] not in EDGE_LIBRARIES.get(target, {module.partition(".")[0]})
    ]

    assert wrong == []


def slug(heading):
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_links_in_documents_resolve():
    broken = []
    for document in tracked("*.md"):
        for link in re.findall(r"\]\(([^)\s]+)\)", read(document)):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(document), path)) if path else document
            if not os.path.exists(os.path.join(ROOT, target)):
                broken.append(f"{document}: {link}")
            elif anchor and anchor not in map(slug, re.findall(r"^#+ (.+)$", read(target), re.MULTILINE)):
                broken.append(f"{document}: {link} has no such heading")

    assert broken == []


def test_documented_error_codes_are_those_that_are_raised():
    documented = set(re.findall(r"^\| `([a-z-]+)`", read("docs/ERRORS.md"), re.MULTILINE))
    raised = set()
    for path in MODULES.values():
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "MCPError" and node.args:
                raised |= {
                    leaf.value
                    for leaf in ast.walk(node.args[0])
                    if isinstance(leaf, ast.Constant) and re.fullmatch(r"[a-z]+(-[a-z]+)*", str(leaf.value))
                }

    assert raised - documented == set()


def test_examples_name_the_digest_of_the_embedded_manifest():
    answer = read("src/mcp_client/embedded/packages/acme/hello-world/1.2.3.json")
    digests = re.findall(r"digest:(sha256:[0-9a-f]{64})", read("docs/EXAMPLES.md"))

    assert digests
    assert all(digest in answer for digest in digests)


def test_no_file_names_a_package_registrys_host_or_a_machines_folder():
    wrong = []
    for path in tracked():
        if path.endswith((".gz", ".lock")):
            continue
        text = read(path)
        wrong += [f"{path}: {word}" for word in FORBIDDEN if word in text]

    assert wrong == []


def test_version_and_python_agree_with_the_metadata():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    entry = project["scripts"]["mcp"].partition(":")[0]

    assert project["scripts"]["mcp"] == project["scripts"]["mcp-client"]
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", mcp_client.__version__)
    assert "3.11" in project["requires-python"]
    assert importlib.util.find_spec(entry) is not None
