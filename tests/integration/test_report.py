"""One report of what holds, the same wherever somebody looks: plan, package, doctor, audit record."""

import json
import os

from kit import programs
from kit.command import Mcp

STATES = {"enforced", "degraded", "unavailable"}


def controls(mcp: Mcp, *command: str) -> dict[str, dict[str, str]]:
    result = mcp.run(*command)
    found = json.loads(result.stdout)["result"]["controls"]
    return {control["name"]: control for control in found}


def start_record(mcp: Mcp) -> dict[str, dict[str, str]]:
    with open(os.path.join(mcp.home, "audit.log"), encoding="utf-8") as log:
        return next(record for line in log if (record := json.loads(line))["event"] == "start")


def test_plan_package_and_record_say_the_same(warm: Mcp) -> None:
    for package in (programs.single(), programs.forking()):
        planned = controls(warm, "run", "--dry-run", "--json", package.reference)
        assert {control["state"] for control in planned.values()} <= STATES
        assert controls(warm, "info", "--json", package.reference) == planned
        assert warm.run("run", package.reference, "--", "leave", "0").status == 0
        record = start_record(warm)
        assert record["enforcement"] == {name: control["state"] for name, control in planned.items()}
        assert record["requested"] == {name: control["requested"] for name, control in planned.items()}
        assert record["mechanisms"].keys() == planned.keys()
        assert record["degraded"] is any(control["state"] != "enforced" for control in planned.values())
        os.remove(os.path.join(warm.home, "audit.log"))


def test_the_doctor_speaks_of_the_same_controls(warm: Mcp) -> None:
    planned = controls(warm, "run", "--dry-run", "--json", programs.single().reference)
    examined = controls(warm, "doctor", "--json")
    assert examined.keys() == planned.keys()
    for name, control in examined.items():
        assert control["state"] == planned[name]["state"]
    # Its text is the same table.
    shown = warm.run("doctor").stdout.decode()
    for name, control in examined.items():
        assert name in shown
        assert control["state"] in shown
        assert control["requested"] in shown
