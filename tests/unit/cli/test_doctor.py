import json
import os
import shutil
import stat

import pytest

import mcp_client

CHECKS = {
    *("python", "platform", "configuration", "home folder", "cache", "free space"),
    *("audit log", "audit chain", "credentials", "registry", "runtime python3", "runtime node"),
}


def examine(call, *arguments):
    """The checks by name, and the whole call."""
    called = call(*arguments, "doctor", "--json")
    return {check["control"]: check for check in called.envelope["result"]["checks"]}, called


def test_checks_beside_those_of_the_sandbox(call):
    checks, called = examine(call)

    assert set(checks) == CHECKS
    for name in CHECKS - {"runtime python3", "runtime node", "free space"}:
        assert checks[name]["works"], checks[name]
    assert called.envelope["command"] == "doctor"


def test_the_controls_of_the_sandbox_as_every_command_names_them(call):
    _, called = examine(call)
    controls = {control["name"]: control for control in called.envelope["result"]["controls"]}

    assert {"filesystem", "network", "landlock", "memory", "cpu"} < set(controls)
    for control in controls.values():
        assert control["state"] in {"enforced", "degraded", "unavailable"}
        assert control["requested"]
        assert control["mechanism"]
        assert control["state"] == "enforced" or control["mend"]


def test_status_and_envelope_follow_the_required_controls(call):
    checks, called = examine(call)

    broken = [name for name, check in checks.items() if check["required"] and not check["works"]]
    assert called.status == (1 if broken else 0)
    assert called.envelope["ok"] is not bool(broken)
    assert all(name in called.stderr for name in broken)


def test_text_has_a_line_for_each_and_the_mend(call, home):
    os.makedirs(home)
    os.chmod(home, 0o777)

    checks, _ = examine(call)
    shown = call("doctor").stdout

    assert all(name in shown for name in checks)
    assert f"mend: chmod go-w {home}" in shown
    assert "does not work" in shown


def test_a_look_leaves_nothing_behind(call, home, tmp_path):
    call("doctor")

    assert not os.path.exists(os.path.join(home, "audit.log"))
    assert not os.path.exists(os.path.join(home, "auth.json"))
    assert not [name for name in os.listdir(tmp_path) if "doctor" in name]


def test_a_wrong_configuration_is_the_first_thing_to_mend(call, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("nonsense: true\n")

    checks, called = examine(call, "--config", str(config))

    assert called.status == 1
    assert checks["configuration"]["works"] is False
    assert "nonsense" in checks["configuration"]["detail"]


def test_a_home_that_is_a_file(call, home):
    with open(home, "w", encoding="utf-8"):
        pass

    checks, called = examine(call)

    assert called.status == 1
    assert checks["home folder"]["works"] is False
    assert checks["cache"]["works"] is False


def test_credentials_others_can_read(call, home):
    os.makedirs(home, mode=0o700)
    path = os.path.join(home, "auth.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({}, file)
    os.chmod(path, 0o644)

    checks, called = examine(call)

    assert called.status == 1
    assert checks["credentials"]["works"] is False
    assert "chmod" in checks["credentials"]["mend"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644


def test_a_broken_audit_chain_is_shown_and_stops_nobody(call, home):
    os.makedirs(home, mode=0o700)
    with open(os.path.join(home, "audit.log"), "w", encoding="utf-8") as file:
        file.write('{"event":"start","prev":null}\n{"event":"end","prev":"sha256:0"}\n')

    checks, _ = examine(call)

    assert checks["audit log"]["works"] is True
    assert checks["audit chain"]["works"] is False
    assert checks["audit chain"]["required"] is False
    assert "line 2" in checks["audit chain"]["detail"]


def test_a_registry_that_is_not_there_is_no_reason_to_fail(call, tmp_path):
    called = call("doctor", "--json", "--registry", f"file://{tmp_path}/nowhere")

    (check,) = [check for check in called.envelope["result"]["checks"] if check["control"] == "registry"]
    assert (check["works"], check["required"]) == (False, False)
    assert check["mend"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written(call, home):
    os.makedirs(home)
    os.chmod(home, 0o500)

    checks, called = examine(call)

    assert called.status == 1
    assert checks["home folder"]["works"] is False


def test_the_embedded_registry_keeps_its_contract(call, home):
    called = call("doctor", "--json", "--package", "acme/hello-world@1.2.3")

    result = called.envelope["result"]
    assert (called.status, result["conforms"], result["registry"]) == (0, True, "embedded")
    assert {finding["result"] for finding in result["findings"]} == {"ok", "note"}
    assert {"manifest", "bundle", "digest alias"} <= {finding["check"] for finding in result["findings"]}
    assert not os.path.exists(os.path.join(home, "cache", "bundles"))


@pytest.fixture
def broken(tmp_path):
    """A registry in a folder whose bundle was changed."""
    embedded = os.path.join(os.path.dirname(mcp_client.__file__), "embedded", "packages")
    shutil.copytree(embedded, tmp_path / "registry" / "packages")
    path = tmp_path / "registry" / "packages" / "acme" / "hello-world" / "1.2.3" / "bundle.tar.gz"
    with open(path, "r+b") as file:
        file.write(b"another")
    return f"file://{tmp_path}/registry"


def test_a_registry_that_breaks_its_contract(call, broken):
    called = call("doctor", "--registry", broken, "--package", "acme/hello-world@1.2.3")

    assert called.status == 1
    assert "error[check-failed]: the registry breaks its contract: digest: bundle" in called.stderr
    lines = called.stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("digest: bundle")]
    assert [line.split(":")[0].strip() for line in lines[at + 1 : at + 4]] == ["tried", "expected", "mend"]
    assert "(contract: Artifacts)" in lines[at + 2]
    assert lines[-1].endswith("1 breaches, 0 warnings")


def test_a_package_that_is_not_there_cannot_examine_anything(call):
    called = call("doctor", "--package", "acme/none@1.0.0")

    assert called.status == 1
    assert "error[package-not-found]" in called.stderr
