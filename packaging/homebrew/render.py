"""Fill in Homebrew's formula, to standard output: ``render.py OWNER/NAME VERSION SHA256SUMS``."""

import os
import re
import sys

TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mcp-client.rb")
_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")


def render(repository: str, version: str, sums: str) -> str:
    """The formula for the files in ``sums``, sha256sum's output. Raises SystemExit when one is missing."""
    digests = {name: digest for digest, name in _LINE.findall(sums)}
    wheel = f"mcp_client-{version}-py3-none-any.whl"
    files = {"WHEEL": wheel, "LINUX_AMD64": "mcp-linux-amd64", "LINUX_ARM64": "mcp-linux-arm64"}
    values = {"REPOSITORY": repository, "VERSION": version, "WHEEL": wheel}
    for key, name in files.items():
        if name not in digests:
            raise SystemExit(f"{name} is not among the sums")
        values[f"{key}_SHA256"] = digests[name]
    with open(TEMPLATE, encoding="utf-8") as file:
        lines = file.read().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("#"))
    return re.sub(r"@([A-Z0-9_]+)@", lambda match: values[match[1]], text)


if __name__ == "__main__":
    with open(sys.argv[3], encoding="utf-8") as opened:
        sys.stdout.write(render(sys.argv[1], sys.argv[2], opened.read()))
