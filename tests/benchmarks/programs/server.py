"""The Python server of the benchmarks: a line is answered by a line."""

import os

while data := os.read(0, 1 << 18):
    for _ in range(data.count(b"\n")):
        os.write(1, b'{"jsonrpc":"2.0","id":1,"result":{}}\n')
