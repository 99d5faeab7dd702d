import pytest

from mcp_client.errors import MCPError
from mcp_client.manifest.constraint import matches


@pytest.mark.parametrize(
    ("version", "expression"),
    [
        ((3, 11, 7), ">=3.11,<3.12"),
        ((3, 11), ">=3.11.0"),
        ((3, 11, 0), "==3.11"),
        ((3, 11, 7), "==3.11.*"),
        ((3, 12), "!=3.11.*"),
        ((3, 11, 7), "!=3.11"),
        ((3, 12), "~=3.11"),
        ((3, 11, 9), "~=3.11.2"),
        ((22, 1, 0), " >= 18 , < 23 "),
        ((3, 10), ">3.9"),
        ((18,), "<=18.0.0"),
    ],
)
def test_versions_that_fit(version, expression):
    assert matches(version, expression) is True


@pytest.mark.parametrize(
    ("version", "expression"),
    [
        ((3, 12, 0), ">=3.11,<3.12"),
        ((3, 9), ">=3.10"),
        ((3, 12), "==3.11.*"),
        ((3, 11, 7), "!=3.11.*"),
        ((4, 0), "~=3.11"),
        ((3, 12, 0), "~=3.11.2"),
        ((3, 11, 1), "~=3.11.2"),
        ((3, 11, 0), ">3.11"),
        ((3,), "==3.11.*"),
    ],
)
def test_versions_that_do_not_fit(version, expression):
    assert matches(version, expression) is False


@pytest.mark.parametrize(
    "expression",
    ["", ",", "3.11", "^3", "~3", ">=3.x", ">=3.11,", ">=3.*", "~=3", "===3", ">=3 <4", ">=1.2.3.4.5",
     "<1,nonsense", ">=" + "9" * 99, ">=3," * 100 + ">=3", ">=3\x1b[2J", ">=٣"],
)  # fmt: skip
def test_other_expressions_are_refused_even_behind_a_clause_that_fails(expression):
    with pytest.raises(MCPError) as caught:
        matches((3, 11), expression)
    assert caught.value.code == "manifest-invalid"
    assert caught.value.message.isprintable()
