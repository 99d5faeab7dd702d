"""Which hosts a server may reach: rules, decisions, and the engine that carries the connections."""
