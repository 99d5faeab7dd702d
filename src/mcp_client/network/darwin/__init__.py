"""What the engine asks macOS."""
