"""``python -m mcp_client``, the same as ``mcp``."""

import sys

from mcp_client.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
