import os

import pytest

from mcp_client.errors import MCPError
from mcp_client.manifest.model import ConfigOption, Manifest
from mcp_client.manifest.options import check_options


def manifest(**config):
    return Manifest("org/name", "1.2.3", "", "", "", {}, "stdio", config=config)


def refused(options, *given):
    with pytest.raises(MCPError) as caught:
        check_options(manifest(**options), given)
    return caught.value


def test_every_option_has_a_value_given_or_default_or_none():
    options = {
        "given": ConfigOption(),
        "default": ConfigOption(default="d"),
        "several": ConfigOption(multiple=True),
        "several_default": ConfigOption(multiple=True, default=("a", "b")),
        "silent": ConfigOption(),
        "silent_several": ConfigOption(multiple=True),
    }
    assert check_options(manifest(**options), [("several", "y"), ("given", "x"), ("several", "z")]) == {
        "given": "x",
        "default": "d",
        "several": ("y", "z"),
        "several_default": ("a", "b"),
        "silent": (),
        "silent_several": (),
    }


def test_what_is_given_replaces_a_default():
    options = {"a": ConfigOption(multiple=True, default=("x",)), "b": ConfigOption(default="x")}
    assert check_options(manifest(**options), [("a", "y"), ("b", "")]) == {"a": ("y",), "b": ""}


def test_a_required_option_must_be_given():
    error = refused(
        {"roots": ConfigOption("directory", required=True, description="Folders\x1b[2J to serve")}
    )
    assert error.code == "option-missing"
    assert "--set roots=<directory>" in error.message
    assert error.message.isprintable()
    assert "--set roots=" in error.hint


def test_an_unknown_option_is_refused_with_those_there_are():
    error = refused({"roots": ConfigOption()}, ("rots", "x"))
    assert error.code == "option-invalid"
    assert error.hint == "it has roots"
    assert refused({}, ("x\x1b", "x")).hint == "it takes none"


def test_a_single_option_is_given_once():
    assert "given twice" in refused({"a": ConfigOption()}, ("a", "1"), ("a", "1")).message


@pytest.mark.parametrize("text", ["1", "-1", "1.5", "-0.25", "1e9", "1E-3"])
def test_numbers(text):
    assert check_options(manifest(n=ConfigOption("number")), [("n", text)]) == {"n": text}


@pytest.mark.parametrize(
    "text", ["", "x", "1,5", "0x10", "nan", "inf", "1e", " 1", "\u0661", "--1", "1" * 99]
)
def test_other_numbers_are_refused(text):
    assert refused({"n": ConfigOption("number")}, ("n", text)).code == "option-invalid"


@pytest.mark.parametrize(
    ("text", "value"), [("true", "true"), ("Yes", "true"), ("1", "true"), ("FALSE", "false"), ("0", "false")]
)
def test_booleans_have_one_spelling(text, value):
    assert check_options(manifest(b=ConfigOption("boolean")), [("b", text)]) == {"b": value}


def test_other_booleans_are_refused():
    assert refused({"b": ConfigOption("boolean")}, ("b", "maybe")).code == "option-invalid"


def test_paths_exist_have_the_right_kind_and_become_absolute(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    options = {"d": ConfigOption("directory", multiple=True), "f": ConfigOption("file")}
    assert check_options(manifest(**options), [("d", "folder/"), ("d", "~/folder"), ("f", "./file")]) == {
        "d": (str(tmp_path / "folder"), str(tmp_path / "folder")),
        "f": str(tmp_path / "file"),
    }
    for name, text in [("d", "file"), ("f", "folder"), ("d", "nowhere"), ("f", ""), ("d", "")]:
        assert refused(options, (name, text)).code == "option-invalid"


def test_a_path_that_is_no_utf8_is_a_path(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(name)
    assert check_options(manifest(d=ConfigOption("directory")), [("d", os.fsdecode(name))]) == {
        "d": os.fsdecode(name)
    }


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "\x1b", "\ud800", "x" * 131_072])
def test_what_cannot_be_an_argument_is_refused(text):
    error = refused({"a": ConfigOption()}, ("a", text))
    assert error.code == "option-invalid"
    assert error.message.isprintable()


def test_the_number_of_values_is_bounded():
    assert "more than 1000" in refused({"a": ConfigOption(multiple=True)}, *[("a", "x")] * 1001).message
