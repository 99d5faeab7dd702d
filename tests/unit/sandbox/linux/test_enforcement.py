"""The report about the network: what is requested, and what keeps a host from giving it."""

import pytest

from mcp_client.policy.model import DEFAULT_LIMITS
from mcp_client.sandbox.linux import enforcement
from mcp_client.sandbox.linux.enforcement import Obtained, list_controls, may_observe_children
from mcp_client.sandbox.spec import Control, SandboxSpec, Way

WAY = Way((), ((bytes(4), 8),))


def network(way: Way | None, *, gate: bool = True, observed: bool = True) -> Control:
    spec = SandboxSpec(("/bin/true",), {}, "/", (), DEFAULT_LIMITS, False, way)
    obtained = Obtained(7, gate, frozenset(), "none here", None, observed)
    return next(control for control in list_controls(spec, obtained) if control.name == "network")


def test_without_a_way_out_nothing_has_to_be_had() -> None:
    control = network(None, gate=False, observed=False)
    assert (control.requested, control.state) == ("none", "enforced")


def test_with_one_init_has_to_be_asked() -> None:
    assert network(WAY).state == "enforced"
    assert network(WAY).requested == "allow-listed"
    refused = network(WAY, gate=False)
    assert (refused.state, "listener" in refused.mechanism) == ("unavailable", True)


def test_and_has_to_see_what_for() -> None:
    refused = network(WAY, observed=False)
    assert refused.state == "unavailable"
    assert refused.mend is not None
    assert "ptrace_scope" in refused.mend


@pytest.mark.parametrize(
    ("text", "may"), [("0\n", True), ("1\n", True), ("2\n", False), ("3\n", False), (None, True)]
)
def test_who_may_look(
    text: str | None, may: bool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path_factory.mktemp("yama") / "ptrace_scope"
    if text is not None:
        setting.write_text(text)
    monkeypatch.setattr(enforcement, "_PTRACE_SCOPE", str(setting))
    assert may_observe_children() is may
