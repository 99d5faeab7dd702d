"""``mcp pull`` in a job without a terminal: nobody's end of input is the end of its work; a signal is."""

import signal

import pytest
from kit import processes, programs
from kit.command import Mcp
from kit.registry import Fault, Registry

REFERENCE = programs.single().reference


@pytest.mark.parametrize("command", [("pull",), ("run", "--dry-run")], ids=" ".join)
def test_a_closed_input_does_not_end_it(mcp: Mcp, registry: Registry, command: tuple[str, ...]) -> None:
    registry.publish(programs.single())
    registry.faults["bundle"] = Fault(delay=0.5)
    result = mcp.run(*command, REFERENCE, given=b"")
    assert result.status == 0, result.stderr
    assert REFERENCE in result.stdout.decode()
    assert len(mcp.cached("trees")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("fault", [Fault(delay=60), Fault(drip=0.2)], ids=["silent", "slow"])
def test_a_signal_ends_it_and_nothing_stays(
    mcp: Mcp, registry: Registry, number: signal.Signals, fault: Fault
) -> None:
    registry.publish(programs.forking())
    registry.faults["bundle"] = fault
    with mcp.start("pull", programs.forking().reference) as process:
        assert processes.wait_until(lambda: bool(registry.requests("bundle")))
        assert processes.wait_until(lambda: mcp.cached("staging") != [])
        process.send_signal(number)
        assert process.wait(3) in (128 + number, -number)
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert mcp.cached("bundles", "trees", "staging") == []
