"""Code that is not needed now goes, comes back when it is, and nothing that was ever written is lost."""

import subprocess
import sys

PROGRAM = """
import ctypes, hashlib, json, re, sqlite3, ssl, zlib
from mcp_client.memory import give_back

def resident():
    total, is_code = 0, False
    with open("/proc/self/smaps") as file:
        for line in file:
            first, *rest = line.split()
            if "-" in first and not first.endswith(":"):
                is_code = rest[0] == "r-xp" and rest[3] != "0"
            elif first == "Rss:" and is_code:
                total += int(rest[0])
    return total

def work():
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (a, b)")
    connection.executemany("insert into t values (?, ?)", [(n, str(n)) for n in range(1000)])
    (total,) = connection.execute("select sum(length(b)) from t where a > 10").fetchone()
    text = json.dumps([re.sub(r"\\\\d", "x", str(n)) for n in range(1000)])
    return total, hashlib.sha256(zlib.compress(text.encode())).hexdigest(), ssl.OPENSSL_VERSION

first, before = work(), resident()
give_back()
after = resident()
assert work() == first
for _ in range(20):
    give_back()
    assert work() == first
print(before, after)
"""


def test_code_goes_and_comes_back():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert after < before / 2
