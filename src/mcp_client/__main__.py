"""``python -m mcp_client``: for environments where another package owns the command ``mcp``."""

import sys

from mcp_client.cli.main import main

sys.exit(main())
