"""The sandbox of macOS on macOS: what a server must not do, and that it could do it outside.

Skipped everywhere else. Whatever says "enforced" about Seatbelt in docs/SECURITY.md is proven here or not at
all.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request

import pytest
from kit import command, folder
from kit.bundle import manifest_form, pack_files, package

HERE = os.path.dirname(os.path.abspath(__file__))
pytestmark = pytest.mark.skipif(sys.platform != "darwin", reason="takes macOS: Seatbelt and libproc")
RESOURCES = {"cpu_millicores": 2000, "memory_mb": 512, "max_processes": 8, "max_fds": 256}
with open(os.path.join(HERE, "attacks.py")) as _source:
    ATTACKS = _source.read()


class Mac(command.Mcp):
    def serve(self, package, *arguments, options=(), **settings):
        self.env["MCP_REGISTRY_URL"] = folder.publish(os.path.join(self.folder, "registry"), package)
        return self.run("run", *options, package.reference, "--", *arguments, **settings)

    def begin(self, package, *arguments, options=(), **settings):
        self.env["MCP_REGISTRY_URL"] = folder.publish(os.path.join(self.folder, "registry"), package)
        return self.start("run", *options, package.reference, "--", *arguments, **settings)


@pytest.fixture
def mac(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root's servers are root: an ordinary user is wanted")
    return Mac(str(tmp_path))


def python(source, **fields):
    fields = {"resources": RESOURCES, **fields}
    form = manifest_form("test/program@1.0.0", "python3", "-I", "${bundle}/main.py", **fields)
    return package(form, pack_files({"main.py": textwrap.dedent(source)}))


@pytest.fixture
def facts(mac):
    """What there is to attack, on this very machine, and a process that is no business of the server's."""
    secret = os.path.join(mac.folder, ".ssh", "id_test")
    os.makedirs(os.path.dirname(secret))
    with open(secret, "w") as file:
        file.write("private")
    # A path of a local socket has 103 bytes at most.
    place = f"/private/tmp/mcp-test-{os.getpid()}-{time.monotonic_ns()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as local,
        subprocess.Popen(["/bin/sleep", "600"]) as victim,
    ):
        local.bind(place)
        local.listen()
        try:
            yield {
                "secret": secret,
                "home": mac.folder,
                "port": listener.getsockname()[1],
                "socket": place,
                "victim": victim.pid,
            }
        finally:
            victim.kill()
            os.unlink(place)


def outside(facts, tmp_path):
    program = tmp_path / "main.py"
    program.write_text(ATTACKS)
    done = subprocess.run(
        [sys.executable, str(program), json.dumps(facts)], capture_output=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def test_the_attacks_work_where_nothing_prevents_them(facts, tmp_path):
    assert set(outside(facts, tmp_path).values()) == {"done"}


def test_nothing_of_it_works_inside(mac, facts):
    done = mac.serve(python(ATTACKS), json.dumps(facts))

    assert done.status == 0, done
    assert "done" not in json.loads(done.stdout).values(), done.stdout


def test_with_processes_the_walls_are_the_same(mac, facts):
    done = mac.serve(python(ATTACKS, subprocess=True), json.dumps({**facts, "in_a_child": True}))
    told = json.loads(done.stdout)

    processes = [told.pop(name) for name in ("fork", "start_a_program", "spawn_its_own_program")]
    assert set(processes) == {"done"}, processes
    assert "done" not in told.values(), told


def test_what_it_needs_works_inside(mac):
    source = """
    import getpass, hashlib, json, os, pwd, ssl, sqlite3, tempfile, threading, time, zoneinfo
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
    open(os.path.join(os.environ["HOME"], "kept"), "w").close()
    thread = threading.Thread(target=time.localtime)
    thread.start(), thread.join()
    sqlite3.connect(os.path.join(os.environ["HOME"], "db")).execute("create table t (a)")
    ssl.create_default_context()
    known = pwd.getpwuid(os.getuid()).pw_uid == os.getuid()
    print(json.dumps([os.uname().sysname, known, os.cpu_count() > 0]))
    """
    done = mac.serve(python(source))

    assert json.loads(done.stdout or "0") == ["Darwin", True, True], done


def test_a_granted_folder_can_be_used_as_it_was_granted(mac):
    shared = os.path.join(mac.folder, 'sh"ar)ed \\ ä')
    os.makedirs(shared)
    source = """
    import os, sys
    for name in ("one", "two"):
        try:
            open(os.path.join(sys.argv[1], name), "w").close()
            print("written")
        except OSError as error:
            print(type(error).__name__)
    print(os.listdir(sys.argv[1]))
    """
    real = os.path.realpath(shared)
    writable = mac.serve(python(source), real, options=["--mount", f"{real}:{real}:rw"])
    readable = mac.serve(python(source), real, options=["--mount", f"{real}:{real}:ro"])

    assert writable.stdout.splitlines()[:2] == [b"written", b"written"], writable
    assert readable.stdout.splitlines()[:2] == [b"PermissionError", b"PermissionError"], readable
    assert b"one" in readable.stdout


def test_our_own_places_cannot_be_granted_in_another_case(mac):
    os.makedirs(mac.home, exist_ok=True)
    other = os.path.join(os.path.dirname(mac.home), os.path.basename(mac.home).upper())
    if not os.path.exists(other):
        pytest.skip("this volume tells cases apart")
    done = mac.serve(python(""), options=["--mount", f"{other}:{other}"])

    assert done.code == "mount-refused"


CLIENT = """
import json, os, socket, sys, urllib.error, urllib.request
told = {}
for url in sys.argv[2:]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            told[url] = answer.read().decode()
    except urllib.error.HTTPError as error:
        told[url] = str(error.code)
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
    told["around"] = "connected"
except OSError as error:
    told["around"] = type(error).__name__
print(json.dumps(told))
"""


def test_an_allowed_host_is_reached_by_the_proxy_and_not_around_it(mac):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve():
            end, _ = listener.accept()
            with end:
                end.recv(65536)
                end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")

        threading.Thread(target=serve, daemon=True).start()
        allowed, other = f"http://127.0.0.1:{port}/", "http://192.0.2.1/"
        done = mac.serve(
            python(CLIENT), str(port), allowed, other, options=["--allow-net", f"127.0.0.1:{port}"]
        )

    assert json.loads(done.stdout or "0") == {allowed: "hello", other: "403", "around": "PermissionError"}, (
        done
    )


def test_a_server_is_reached_at_its_port(mac):
    source = """
    import http.server, os
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")
        def address_string(self):
            return ""
    class Server(http.server.HTTPServer):
        def server_bind(self):
            self.socket.bind(self.server_address)
            self.server_name, self.server_port = self.server_address
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
    """
    with mac.begin(python(source, transport="http", http={"port": 23456}), options=["--json"]) as running:
        line = running.stdout.readline()
        assert line, running.stderr.read()
        with urllib.request.urlopen(json.loads(line)["url"], timeout=20) as answer:
            assert answer.read() == b"hello"
        running.terminate()
        assert running.wait(30) == 0


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        for descriptor in range(3):
            os.close(descriptor)
        time.sleep(600)
    os._exit(0)
os.wait()
sys.stdin.read()
time.sleep(600 if sys.argv[1:] == ["stay"] else 0)
"""


@pytest.mark.parametrize("how", ["by itself", "mcp killed", "keeper killed", "clock"])
def test_a_daemon_does_not_outlive_its_server(mac, how):
    """Forked twice and in a session of its own: launchd is its parent, whoever looks for children."""
    stays = () if how == "by itself" else ("stay",)
    options = ["--timeout", "3s"] if how == "clock" else []
    with mac.begin(python(DAEMON, subprocess=True), *stays, options=options) as running:
        daemon = int(running.stdout.readline())
        os.kill(daemon, 0)
        if how == "mcp killed":
            running.kill()
        elif how == "keeper killed":
            children = subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, check=True)
            os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
        elif how == "by itself":
            running.stdin.close()
        running.wait(60)
        assert _ends(daemon)


def _ends(pid, seconds=15):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_memory_above_the_limit_ends_it(mac):
    source = "import os, time\nheld = os.urandom(1 << 20) * 400\nprint('alive', flush=True)\ntime.sleep(600)"
    done = mac.serve(python(source, resources={**RESOURCES, "memory_mb": 200}))
    control = mac.serve(python("print('alive')", resources={**RESOURCES, "memory_mb": 200}))

    assert done.status == 128 + signal.SIGKILL, done
    assert "memory" in done.stderr
    assert control.stdout == b"alive\n"


def test_more_processes_than_the_limit_end_it(mac):
    source = "import os, time\nfor _ in range(20):\n    if os.fork() == 0: time.sleep(600)\ntime.sleep(600)"
    done = mac.serve(python(source, subprocess=True))

    assert done.status == 128 + signal.SIGKILL, done


def test_its_private_folders_are_gone(mac):
    source = """
    import os
    place = os.environ["HOME"]
    os.makedirs(place + "/a/b")
    open(place + "/a/b/file", "w").close()
    os.chflags(place + "/a/b/file", 0x2)
    os.chmod(place + "/a", 0)
    print(place, oct(os.stat(place).st_mode & 0o777))
    """
    place, mode = mac.serve(python(source)).stdout.split()

    assert mode == b"0o700"
    assert not os.path.exists(os.path.dirname(place))


def test_doctor_says_that_it_holds(mac):
    done = mac.run("doctor", "--json")
    controls = {control["name"]: control for control in json.loads(done.stdout)["result"]["controls"]}

    assert {controls[name]["state"] for name in ("filesystem", "network", "subprocess")} == {"enforced"}


def test_the_process_table_knows_a_process_again(mac):
    """By the kernel's own numbers: the child's parent stays its parent when that is gone."""
    from mcp_client.sandbox.darwin.libproc import LibprocTable

    table = LibprocTable()
    own = table.look(os.getpid())
    shell = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 600 >&- & echo $!; read line"], stdin=-1, stdout=-1, text=True
    )
    orphan = int(shell.stdout.readline())
    parent = table.look(shell.pid)
    shell.communicate("\n", 30)
    seen = table.look(orphan)
    used = table.use(orphan)
    os.kill(orphan, signal.SIGKILL)

    assert parent.parent == own.unique
    assert seen.parent == parent.unique
    assert any(one.pid == os.getpid() for one in table.processes())
    assert used.memory > 0
    assert _ends(orphan)
    assert table.look(orphan) is None
