import pytest

from mcp_client.errors import MCPError
from mcp_client.manifest.expand import expand, variables
from mcp_client.manifest.model import Entrypoint

VALUES = {
    "bundle": "/bundle",
    "data": "/data",
    "config.one": "1",
    "config.roots": ("/a", "/b c"),
    "config.none": (),
    "config.evil": "${bundle}",
}


def args(*given):
    return expand(Entrypoint("x", given), VALUES).args


def env(**given):
    return dict(expand(Entrypoint("x", (), given), VALUES).env)


def test_variables_are_replaced_anywhere_in_a_string():
    assert args("--dir=${bundle}/lib:${data}", "plain", "$HOME", "a$") == (
        "--dir=/bundle/lib:/data",
        "plain",
        "$HOME",
        "a$",
    )
    assert env(A="${bundle}/${config.one}") == {"A": "/bundle/1"}


def test_a_tuple_becomes_arguments_or_a_list():
    assert args("-r", "${config.roots}", "z") == ("-r", "/a", "/b c", "z")
    assert args("--roots=${config.roots}") == ("--roots=/a:/b c",)
    assert env(ROOTS="${config.roots}") == {"ROOTS": "/a:/b c"}


def test_what_was_not_given_leaves_nothing():
    assert args("a", "${config.none}", "b") == ("a", "b")
    assert args("--x=${config.none}") == ("--x=",)
    assert env(A="${config.none}", B="x") == {"B": "x"}


def test_two_dollars_are_a_plain_one():
    assert args("$${bundle}", "$$${bundle}", "$$", "$${") == ("${bundle}", "$${bundle}", "$$", "${")


def test_values_are_not_expanded_again():
    assert args("${config.evil}", "x${config.evil}") == ("${bundle}", "x${bundle}")


def test_the_command_is_left_alone():
    assert expand(Entrypoint("bin/${bundle}"), VALUES).command == "bin/${bundle}"


@pytest.mark.parametrize(
    "text", ["${nope}", "${}", "${config.nope}", "a${Bundle}", "${ bundle }", "${bundle", "${", "${a{b}}"]
)
def test_an_unknown_or_open_variable_is_refused(text):
    for entrypoint in (Entrypoint("x", (text,)), Entrypoint("x", (), {"A": text})):
        with pytest.raises(MCPError) as caught:
            expand(entrypoint, VALUES)
        assert caught.value.code == "manifest-invalid"


def test_the_variables_of_a_text():
    assert variables("${bundle}/$${x}/${config.one}") == ("bundle", "config.one")
    with pytest.raises(MCPError):
        variables("${bundle")
