"""``mcp completion``: tab completion of commands, options and known references."""

import os

import click
from click.shell_completion import (
    BashComplete,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    shell_complete,
)

from mcp_client.cli.caller import completion_variable, program_name

# Click's own script works on the words bash made. Bash cuts them at "@", ":" and "=" (COMP_WORDBREAKS), so
# that org/name@1.2.3 is three words there: the line is split at blanks again, and what readline will not
# replace is taken off the answers.
_BASH = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:${COMP_POINT:-0}}" words=() count word stem="" breaks="" c answer
    [[ -n $line ]] || line="${COMP_WORDS[*]:0:COMP_CWORD+1}"
    read -ra words <<<"$line"
    count=$((${#words[@]} - 1))
    [[ $line == *[[:space:]] ]] && count=$((count + 1))
    word="${words[count]-}"
    for c in @ : =; do
        [[ ${COMP_LINE:+$COMP_WORDBREAKS} == *"$c"* ]] && breaks+="$c"
    done
    [[ -n $breaks ]] && stem="${word%%"${word##*[$breaks]}"}"
    COMPREPLY=()
    while IFS=, read -r c answer; do
        case $c in
            plain) COMPREPLY+=("${answer#"$stem"}") ;;
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
        esac
    done < <(env COMP_WORDS="$line" COMP_CWORD="$count" %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    """Bash, with references that are one word."""

    source_template = _BASH

    def source(self) -> str:
        """The script, without starting bash to ask for its version: the script minds old ones itself."""
        return self.source_template % self.source_vars()


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": FishComplete}


def answer_shell(group: click.Command, name: str) -> int:
    """Answer the request that a shell's script put into the environment."""
    add_completion_class(_Bash)
    variable = completion_variable(name)
    return shell_complete(group, {}, name, variable, os.environ[variable])


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", metavar="SHELL", type=click.Choice(tuple(SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the script that lets SHELL complete commands, options and references.

    The script is for the name you call this program by, mcp or mcp-client.

    \b
    Examples:
      source <(mcp completion bash)
      mcp completion bash >> ~/.bashrc
      mcp completion zsh > "${fpath[1]}/_mcp"
      mcp completion fish > ~/.config/fish/completions/mcp.fish
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    name = program_name()
    click.echo(SHELLS[shell](ctx.find_root().command, {}, name, completion_variable(name)).source())
    return 0
