"""Print what the suite needs in the virtual machine, one to a line: the project's needs, and pytest's."""

import sys
import tomllib

TEST_TOOLS = ("pytest", "pytest-timeout", "pytest-xdist")

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)
needed = list(project["project"]["dependencies"])
groups = project["dependency-groups"]["dev"]
needed += [text for text in groups if text.partition(">")[0] in TEST_TOOLS]
sys.stdout.write("\n".join(needed) + "\n")
