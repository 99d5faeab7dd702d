"""Where the results come from: machine, kernel, versions, load."""

import os
import platform
import subprocess
import time
from collections.abc import Sequence

import mcp_client


def describe(versions: Sequence[tuple[str, str]], folder: str) -> list[tuple[str, str]]:
    """Names and values; ``versions`` of peers come last, ``folder`` is where files were written."""
    return [
        ("date", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())),
        ("processor", f"{_processor()}, {os.cpu_count()} logical"),
        ("memory", f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 30} GiB"),
        ("kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("file system", _first_line(["stat", "-f", "-c", "%T", folder]) or "?"),
        ("load before", " ".join(f"{value:.2f}" for value in os.getloadavg())),
        ("user", "root" if os.geteuid() == 0 else "unprivileged"),
        ("mcp-client", mcp_client.__version__ + _revision()),
        ("Python", platform.python_version()),
        *versions,
    ]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _revision() -> str:
    found = _first_line(["git", "-C", os.path.dirname(__file__), "describe", "--always", "--dirty"])
    return f" ({found})" if found else ""


def _first_line(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0].strip() if done.returncode == 0 else ""
