"""What the engine asks Linux."""
