"""Does a registry keep its contract: what ``mcp doctor --package`` asks, and what it makes of the answers."""
