"""What is reported for a server on Windows follows from what was found, and never says more."""

import pytest

from mcp_client.policy.model import DEFAULT_LIMITS
from mcp_client.sandbox.enforcement import missing_walls
from mcp_client.sandbox.spec import SandboxSpec, Way
from mcp_client.sandbox.windows.enforcement import Obtained, list_controls

ALL = Obtained(low=True, privileges=1, keeps_limits=True, capped=True)
NAMES = {
    *("identity", "privileges", "filesystem", "process-isolation", "network", "system-calls", "descriptors"),
    *("subprocess", "files", "processes", "memory", "cpu"),
}


def report(obtained, *, subprocess=False, way=None):
    spec = SandboxSpec(("x",), {}, "C:\\", (), DEFAULT_LIMITS, subprocess, way)
    return {control.name: control for control in list_controls(spec, obtained)}


def test_every_control_is_told():
    assert set(report(ALL)) == NAMES


def test_windows_itself_keeps_what_it_can():
    enforced = {name for name, control in report(ALL).items() if control.state == "enforced"}

    assert enforced == {
        *("identity", "privileges", "descriptors", "subprocess", "processes", "memory", "cpu"),
    }


def test_a_run_needs_consent_wherever_windows_has_no_wall():
    walls = {wall.name for wall in missing_walls(report(ALL).values())}

    assert walls == {"filesystem", "network"}


@pytest.mark.parametrize(
    ("change", "weaker"),
    [
        ({"low": False}, {"identity", "filesystem"}),
        ({"privileges": 4}, {"privileges"}),
        ({"keeps_limits": False}, {"subprocess", "processes", "memory", "cpu"}),
        ({"capped": False}, {"cpu"}),
    ],
)
def test_what_was_not_found_is_not_claimed(change, weaker):
    full, less = report(ALL), report(ALL._replace(**change))

    assert {name for name in NAMES if less[name].state != full[name].state} == weaker
    assert all(less[name].mend for name in weaker)


def test_a_job_within_another_one_is_told_to_be_less():
    assert "kept from the desktop" in report(ALL)["process-isolation"].mechanism
    assert "beside the desktop" in report(ALL._replace(desktop=False))["process-isolation"].mechanism


def test_hosts_that_were_asked_for_are_told_as_such():
    assert report(ALL)["network"].requested == "none"
    assert report(ALL, way=Way((), ()))["network"].requested == "allow-listed"
    assert report(ALL, way=Way((), ()))["network"].state == "unavailable"


def test_low_integrity_is_named_where_it_was_taken_and_nowhere_else():
    assert "low integrity" in report(ALL)["process-isolation"].mechanism
    named = [one.name for one in report(ALL._replace(low=False)).values() if "low integrity" in one.mechanism]
    assert named == ["identity"]
    assert "low integrity was not taken" in report(ALL._replace(low=False))["identity"].mechanism
