"""Attacks on the walls around a server: a program of a bundle and, for the control, outside of a sandbox.

The first argument names the facts as JSON. Prints for each attack what came of it: "done", or the error's
name. Standard library only.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys

facts = json.loads(sys.argv[1])


def read_a_secret():
    with open(facts["secret"]) as file:
        file.read()


def list_the_home():
    os.listdir(facts["home"])


def write_outside():
    with open(os.path.join(facts["home"], "written"), "w") as file:
        file.write("x")


def write_into_the_bundle():
    place = os.path.abspath(__file__)
    os.chmod(os.path.dirname(place), 0o755)
    with open(place + ".new", "w") as file:
        file.write("x")


def connect_by_tcp():
    socket.create_connection(("127.0.0.1", facts["port"]), 5).close()


def send_by_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(b"x", ("127.0.0.1", facts["port"]))


def connect_to_a_local_socket():
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(facts["socket"])


def listen():
    socket.create_server(("127.0.0.1", 0)).close()


def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def start_a_program():
    subprocess.run(["/bin/echo"], stdout=subprocess.DEVNULL, check=True)


def look_at_another_process():
    libproc = ctypes.CDLL("/usr/lib/libproc.dylib")
    path = ctypes.create_string_buffer(4096)
    if libproc.proc_pidpath(facts["victim"], path, 4096) <= 0:
        raise PermissionError


def signal_another_process():
    os.kill(facts["victim"], signal.SIGCONT)


def spawn_its_own_program():
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
    os.waitpid(child, 0)


ATTACKS = [
    *(read_a_secret, list_the_home, write_outside, write_into_the_bundle, connect_by_tcp, send_by_udp),
    *(connect_to_a_local_socket, listen, look_at_another_process, signal_another_process),
]
PROCESSES = [fork, start_a_program, spawn_its_own_program]


def attempt(attack):
    try:
        attack()
    except Exception as error:  # noqa: BLE001  whatever prevented it
        return type(error).__name__
    return "done"


if __name__ == "__main__":
    # In a child as well, where there may be one: it is inside, too.
    told = {attack.__name__: attempt(attack) for attack in [*PROCESSES, *ATTACKS]}
    if facts.get("in_a_child"):
        given = [sys.executable, __file__, json.dumps({**facts, "in_a_child": False})]
        told = json.loads(subprocess.run(given, capture_output=True, check=True).stdout)
    print(json.dumps(told))
