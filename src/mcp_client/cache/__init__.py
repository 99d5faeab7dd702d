"""Artifacts and trees by content, and what references resolved to."""
