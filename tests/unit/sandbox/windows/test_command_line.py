"""One line for Windows out of many arguments: split again it is the same; a batch file gets no command."""

import pytest

from mcp_client.errors import MCPError
from mcp_client.sandbox.windows.command_line import command_line, quote_all

SYSTEM = "C:\\Windows\\System32"
PROGRAM = "C:\\some folder\\server.exe"
BATCH = "C:\\cache\\run.cmd"


def split(line):
    """As Microsoft's C runtime does ("Parsing C command-line arguments"), the program's name apart."""
    assert line.startswith('"')
    first, _, rest = line[1:].partition('"')
    words, word, quoted, at = [first], None, False, 0
    while at < len(rest):
        character = rest[at]
        if character == "\\":
            count = len(rest) - at - len(rest[at:].lstrip("\\"))
            at += count
            before_quote = at < len(rest) and rest[at] == '"'
            word = (word or "") + "\\" * (count // 2 if before_quote else count)
            if before_quote and count % 2:
                word += '"'
                at += 1
            continue
        if character == '"':
            word, quoted = word or "", not quoted
        elif character in " \t" and not quoted:
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + character
        at += 1
    return words if word is None else [*words, word]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [""],
        ["a", "b c", "tab\there"],
        ['say "no"', '"', '\\"', 'a\\\\"b', "end\\", "two\\\\", "sp ace\\"],
        ["%PATH%", "a&b|c", "^", "é €", "--x=a b"],
    ],
)
def test_what_is_split_again_is_the_same(arguments):
    argv = [PROGRAM, *arguments]

    assert split(quote_all(argv)) == argv


def test_a_program_is_executed_itself():
    program, line = command_line((PROGRAM, "a b"), system_folder=SYSTEM)

    assert (program, line) == (PROGRAM, f'"{PROGRAM}" "a b"')


def test_a_batch_file_is_run_by_the_systems_own_shell_without_autorun_or_delayed_expansion():
    program, line = command_line((BATCH, "a", "b c", "", "d;e"), system_folder=SYSTEM)

    shell = SYSTEM + "\\cmd.exe"
    assert program.replace("/", "\\") == shell
    assert line.endswith(f' /d /v:off /e:on /s /c ""{BATCH}" a "b c" "" "d;e""')


@pytest.mark.parametrize(
    "argument",
    [
        *('"&calc', "%PATH%", "a%CMDCMDLINE:~-1%&calc", "!x!", "a^b", "a&b", "a|b", "<x", ">x"),
        *("a\nb", "a\rb", "\uff02&calc", "\uff05PATH\uff05"),
    ],
)
@pytest.mark.parametrize("script", [BATCH, "C:\\cache\\RUN.BAT"])
def test_a_batch_file_gets_nothing_that_could_become_a_command(script, argument):
    with pytest.raises(MCPError) as refused:
        command_line((script, argument), system_folder=SYSTEM)

    assert (refused.value.code, refused.value.run_status) == ("entrypoint-not-executable", 126)


def test_a_batch_file_whose_own_path_could_become_a_command_is_refused():
    with pytest.raises(MCPError):
        command_line(("C:\\100%\\run.cmd",), system_folder=SYSTEM)


@pytest.mark.parametrize(
    "program", ["C:\\x\\run.ps1", "C:\\x\\run.sh", "C:\\x\\server", "C:\\x\\run.cmd ", "C:\\x.exe\\y"]
)
def test_what_is_no_program_is_refused(program):
    with pytest.raises(MCPError) as refused:
        command_line((program,), system_folder=SYSTEM)

    assert refused.value.code == "entrypoint-not-executable"


@pytest.mark.parametrize("argv", [(PROGRAM, "a\0b"), (PROGRAM, "x" * 40_000), (BATCH, "x" * 9000)])
def test_what_no_command_line_holds_is_refused(argv):
    with pytest.raises(MCPError):
        command_line(argv, system_folder=SYSTEM)
