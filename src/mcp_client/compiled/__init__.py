"""Compile packages once, beside their first run, so that their servers start quickly from then on."""
