"""What is made from the program is not out of date, and recipes name what exists."""

import os
import re
import runpy
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
WORKFLOWS = os.path.join(ROOT, ".github", "workflows")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
MAY_WRITE = {"attest": {"id-token", "attestations"}, "github": {"contents"}, "pypi": {"id-token"}}
SUMS = "".join(
    f"{digit * 64}  {name}\n"
    for digit, name in (
        ("1", "mcp_client-1.2.3-py3-none-any.whl"),
        ("2", "mcp-linux-amd64"),
        ("3", "mcp-linux-arm64"),
        ("4", "mcp-client_1.2.3_amd64.deb"),
    )
)


def text(*parts: str) -> str:
    with open(os.path.join(ROOT, *parts), encoding="utf-8") as file:
        return file.read()


def workflows() -> list[str]:
    return sorted(name for name in os.listdir(WORKFLOWS) if name.endswith(".yml"))


def test_the_manual_and_the_completions_are_those_of_the_program() -> None:
    tool = os.path.join(ROOT, "tools", "build_manual.py")
    done = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_manual_names_every_command_and_option() -> None:
    page = text("packaging", "man", "mcp.1").replace("\\-", "-")
    for words in ("run", "pull", "lock", "info", "login", "logout", "cache ls", "cache verify", "doctor"):
        assert f".SS mcp {words}\n" in page
    for option in ("--allow-net", "--dry-run", "--token-stdin", "--locked", "--json"):
        assert option in page


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_can_read_its_completions(shell: str) -> None:
    folder = os.path.join(ROOT, "packaging", "completions", shell)
    assert len(os.listdir(folder)) == 2
    if shutil.which(shell):
        for name in os.listdir(folder):
            subprocess.run([shell, "-n", os.path.join(folder, name)], check=True)


def test_the_formula_has_the_sums_of_a_release() -> None:
    render = runpy.run_path(os.path.join(ROOT, "packaging", "homebrew", "render.py"))["render"]
    formula = render("owner/name", "1.2.3", SUMS)
    assert not re.search("@[A-Z]", formula)
    for digit, name in (("1", "mcp_client-1.2.3-py3-none-any.whl"), ("2", "mcp-linux-amd64")):
        assert f'{name}"' in formula
        assert f'sha256 "{digit * 64}"' in formula
    with pytest.raises(SystemExit, match="linux-arm64 is not"):
        render("owner/name", "1.2.3", SUMS.replace("mcp-linux-arm64", "other"))
    if shutil.which("ruby"):
        subprocess.run(["ruby", "-c"], input=formula.encode(), stdout=subprocess.DEVNULL, check=True)


@pytest.mark.parametrize("name", workflows())
def test_a_workflow_is_bounded_pinned_and_may_do_no_more_than_it_must(name: str) -> None:
    source = text(".github", "workflows", name)
    workflow = yaml.safe_load(source)
    assert workflow["permissions"] == {}
    # YAML 1.1 reads the key `on` as true.
    assert "pull_request_target" not in workflow[True]
    for line in re.findall(r"uses: (.+)", source):
        assert PINNED.fullmatch(line), line
    for job_name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60, job_name
        written = {key for key, value in job["permissions"].items() if value == "write"}
        assert written == MAY_WRITE.get(job_name, set()), job_name
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), step
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": False}
            # What others can choose (a title, a branch's name) would be a part of the script.
            assert "github.event" not in step.get("run", "")
            assert "head_ref" not in step.get("run", "")


@pytest.mark.parametrize("name", workflows())
def test_a_workflow_names_targets_and_files_that_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    for job in yaml.safe_load(text(".github", "workflows", name))["jobs"].values():
        for step in job["steps"]:
            run = step.get("run", "")
            for words in re.findall(r"\bmake ((?:[a-z-]+ ?)+)", run):
                assert set(words.split()) <= targets, words
            for path in re.findall(r"\b(?:tools|packaging|tests|src)/[\w./-]+", run):
                assert os.path.exists(os.path.join(ROOT, path)), path
