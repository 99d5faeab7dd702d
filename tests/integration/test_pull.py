"""``mcp pull`` in a job without a terminal: nobody's end of input is the end of its work."""

import pytest
from kit import programs
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
