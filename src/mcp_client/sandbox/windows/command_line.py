"""From an argument vector to the one line Windows starts a program with; what cannot be quoted is refused.

Programs split the line by the rules of Microsoft's C runtime ("Parsing C command-line arguments"); cmd.exe,
which runs ``.bat`` and ``.cmd``, splits it by rules of its own before that, so that an argument can become a
command (CVE-2024-24576, "BatBadBut"). Nobody can quote every text for both, so such an argument is refused.
"""

import os
from collections.abc import Sequence

from mcp_client.errors import EXIT_NOT_EXECUTABLE, MCPError, printable

# CreateProcessW() takes 32767 characters with the one that ends it; cmd.exe 8191.
_LONGEST, _LONGEST_BATCH = 32_766, 8_191
_PROGRAMS = (".exe", ".com")
_BATCHES = (".bat", ".cmd")
# Everything cmd.exe gives a meaning, within quotes or without: variables, redirection, conjunctions, escapes,
# groups, ends of lines. A quote would end ours.
_FORBIDDEN = frozenset('"%!^&|<>\r\n\0')
# Programs that still speak a code page get the plain character for its wide form ("WorstFit").
_WIDE = frozenset(map(chr, range(0xFF01, 0xFF5F)))
# Within quotes these are plain.
_SEPARATORS = frozenset(" \t,;=()'`+@[]{}~#*?")


def command_line(argv: Sequence[str], *, system_folder: str) -> tuple[str, str]:
    """The program to execute, and its line. ``argv[0]`` is an absolute path.

    Raises ``entrypoint-not-executable`` for what is no program of Windows, and for arguments that a batch
    file cannot get safely.
    """
    program = argv[0]
    if any("\0" in argument for argument in argv):
        raise _refused("an argument holds a NUL character, and none can")
    extension = os.path.splitext(program)[1].lower()
    if extension in _PROGRAMS:
        line, longest, executed = quote_all(argv), _LONGEST, program
    elif extension in _BATCHES:
        executed = os.path.join(system_folder, "cmd.exe")
        line, longest = _batch_line(executed, argv), _LONGEST_BATCH
    else:
        raise _refused(
            f"{printable(os.path.basename(program))} is no program of Windows (.exe, .com, .cmd or .bat)"
        )
    if len(line) > longest:
        raise _refused(f"the command line has {len(line)} characters, and {longest} are allowed")
    return executed, line


def quote_all(argv: Sequence[str]) -> str:
    """One line that the C runtime splits into exactly ``argv`` again."""
    # The first word is split by simpler rules: no quote can be in it.
    first = f'"{argv[0]}"'
    return " ".join([first, *map(quote, argv[1:])])


def quote(argument: str) -> str:
    """One argument; backslashes count twice before a quote only."""
    if argument and not any(character in ' \t\n\v"' for character in argument):
        return argument
    quoted, backslashes = ['"'], 0
    for character in argument:
        if character == "\\":
            backslashes += 1
            continue
        quoted.append("\\" * (backslashes * 2 + 1 if character == '"' else backslashes) + character)
        backslashes = 0
    quoted.append("\\" * (backslashes * 2) + '"')
    return "".join(quoted)


def _batch_line(interpreter: str, argv: Sequence[str]) -> str:
    """``cmd.exe /d /v:off /e:on /s /c ""script" "argument""``: no autorun, no delayed expansion.

    With /s the outer quotes go and nothing else changes (cmd /?).
    """
    for argument in argv:
        found = {character for character in argument if character in _FORBIDDEN or character in _WIDE}
        if found:
            shown = " ".join(sorted(printable(character) for character in found))
            raise _refused(f"a batch file cannot get an argument with {shown} safely")
    words = [f'"{argv[0]}"', *map(_batch_quote, argv[1:])]
    return f'"{interpreter}" /d /v:off /e:on /s /c "{" ".join(words)}"'


def _batch_quote(argument: str) -> str:
    if argument and not _SEPARATORS.intersection(argument) and argument.isascii() and argument.isprintable():
        return argument
    # What the batch file starts splits the line by the runtime's rules: a backslash may not eat the quote.
    backslashes = len(argument) - len(argument.rstrip("\\"))
    return f'"{argument}{chr(92) * backslashes}"'


def _refused(problem: str) -> MCPError:
    return MCPError(
        "entrypoint-not-executable",
        problem,
        hint="name a program (.exe), or an interpreter and its script, or other arguments",
        run_status=EXIT_NOT_EXECUTABLE,
    )
