"""A network of its own: a registry far away, and public, private, link-local and loopback addresses.

Started by ``kit.distant`` in new namespaces. Each line of standard input is a JSON object with ``faults``,
``answer`` and ``token`` for the registry; it is answered by a line with what was seen until then.
"""

import base64
import json
import os
import ssl
import subprocess
import sys
import threading
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kit.bundle import Package
from kit.distant import HOSTS, PROXY, SERVERS, SOCKS
from kit.registry import Fault, Registry
from programs.forwarding import Forwarder
from programs.socks import SocksServer


def main() -> None:
    folder, package = sys.argv[1], _package(json.loads(sys.argv[2]))
    _make_network(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
    servers = {
        (name, scheme): Registry(address=(address, port), tls=context if scheme == "https" else None)
        for name, address in SERVERS.items()
        for scheme, port in (("http", 80), ("https", 443))
    }
    proxy, socks = Forwarder(PROXY), SocksServer(SOCKS)
    for server in servers.values():
        # All of them have the artifacts: who comes to the wrong one shall find what he wants.
        server.publish(package)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        seen: dict[str, Any] = {
            f"{scheme}://{name}": {"connections": server.connections, "log": list(server.log)}
            for (name, scheme), server in servers.items()
        }
        seen["proxy"], seen["socks"] = proxy.log[:], socks.log[:]
        print(json.dumps(seen), flush=True)
        proxy.log.clear()
        socks.log.clear()
        for server in servers.values():
            server.connections = 0
            server.log.clear()
            server.token = wanted.get("token") if server is servers["registry", "https"] else None
            server.faults = {place: Fault(**fault) for place, fault in wanted.get("faults", {}).items()}
            if "answer" in wanted:
                server.answers[package.reference] = wanted["answer"]
    # Threads of connections that are kept alive.
    os._exit(0)


def _make_network(folder: str) -> None:
    addresses = sorted(
        {address for address in SERVERS.values() if not address.startswith("127.")} | {PROXY[0]}
    )
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in addresses:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    hosts = f"{folder}/hosts"
    with open(hosts, "w") as opened:
        opened.writelines(f"{address} {name}\n" for name, listed in HOSTS.items() for address in listed)
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)


def _package(form: dict[str, str]) -> Package:
    data = {name: base64.b64decode(form.pop(name)) for name in ("manifest", "bundle")}
    return Package(**form, **data)


if __name__ == "__main__":
    threading.current_thread().name = "distant"
    main()
