"""What the single file executes: ``python3.x -I -S -B start.py LEASE NAME ARGUMENTS...``."""

import os
import sys

# LEASE is a descriptor whose lock keeps this folder from being swept; no server may inherit it.
os.set_inheritable(int(sys.argv[1]), False)
sys.argv = sys.argv[2:]
sys.path[:] = [path for path in sys.path[1:] if not path.endswith(".zip")]
sys.path.append(f"{os.path.dirname(os.__file__)}/site-packages")

from mcp_client.cli.main import main  # noqa: E402  it is there now

sys.exit(main())
