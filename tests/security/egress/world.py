"""A network namespace in which every address of a list is there, so that a denial has something to deny.

python world.py, with a JSON object on standard input: ``addresses``, and ``cases``, each of which has rules
to ``allow`` and ``deny`` with PORT in them, ``names`` (what look-ups say) and ``targets``. It prints what
each case came to ``inside`` of a sandbox and ``outside`` of it, where the service was reached from inside
(``arrivals``), and the ``denials``.
"""

import ctypes
import json
import os
import sys
from contextlib import suppress
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from arena.sandbox import Outside
from egress.services import connect_inside, connect_outside, service

from mcp_client.network.addresses import parse_address
from mcp_client.sandbox.linux.netlink import LOOPBACK, Netlink

SIDES = ("allow", "deny")
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000


def leave(addresses: list[str]) -> None:
    """Into a namespace where these addresses are loopback's; root needs no user namespace for it."""
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK | (_NEW_USER if user else 0)):
        raise OSError(ctypes.get_errno(), "unshare")
    if user:
        maps = ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")
        for name, text in (("setgroups", "deny"), *maps):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    with Netlink() as netlink:
        netlink.bring_up(LOOPBACK)
        for text in addresses:
            address = parse_address(text)
            if address is not None and address.number:
                with suppress(FileExistsError):
                    netlink.add_local_route(LOOPBACK, address.packed, address.bits)


def attempt(case: dict[str, Any]) -> dict[str, Any]:
    """What one case came to."""
    with service() as found:
        rules = [[rule.replace("PORT", str(found.port)) for rule in case.get(key, ())] for key in SIDES]
        outside = Outside(*rules, names=case["names"])
        targets = [(host, found.port) for host in case["targets"]]
        inside = connect_inside(targets, outside)
        arrivals = list(found.arrivals)
        addresses = [target for target in targets if target[0] not in case["names"]]
        return {
            **case,
            "inside": {host: said for (host, _), said in inside.items()},
            "arrivals": arrivals,
            "denials": outside.denials,
            "outside": {host: said for (host, _), said in connect_outside(addresses).items()},
        }


if __name__ == "__main__":
    if "MCP_MUTATION" in os.environ:
        # A control that is switched off is to be missing here as well.
        from mutation.plugin import switch_off

        switch_off(os.environ["MCP_MUTATION"])
    wanted = json.load(sys.stdin)
    leave(wanted["addresses"])
    print(json.dumps([attempt(case) for case in wanted["cases"]]))
