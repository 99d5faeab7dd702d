"""JSON without the ``json`` module is the same JSON."""

import json

import pytest

from mcp_client.plainjson import dumps, loads

VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**70,
    0.0,
    -0.5,
    1e300,
    1e-7,
    "",
    "plain",
    'quoted " and \\ and /',
    "controls \x00\x1f\x7f\n\t",
    "ä € 𝄞 \ud800",
    [],
    [1, [2, [3, {}]]],
    (1, 2),
    {},
    {"a": None, "ä": [True], "": {"b": 1.5}},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_written_is_what_json_writes(value):
    assert dumps(value) == json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])
def test_what_is_read_is_what_json_reads(value, style):
    text = json.dumps(value, **style)
    for form in (text, f" {text}\n"):
        assert loads(form) == json.loads(form)
    if "\ud800" not in text:
        assert loads(text.encode()) == json.loads(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_no_number_is_no_json(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps(value)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", {1: 2}, [lambda: None]])
def test_other_values_are_a_type_error(value):
    with pytest.raises(TypeError):
        dumps(value)


@pytest.mark.parametrize(
    "text", ["", " ", "{", "[1,]", "{'a': 1}", "nul", "1 2", "[] x", '"\n"', "\ufeff1", "[" * 50 + "]"]
)
def test_what_is_no_json_is_refused_as_json_does(text):
    with pytest.raises(ValueError) as ours:
        loads(text)
    with pytest.raises(ValueError) as theirs:
        json.loads(text)
    assert str(ours.value) == str(theirs.value)


def test_too_deep_is_a_recursion_error():
    with pytest.raises(RecursionError):
        loads("[" * 200_000)
