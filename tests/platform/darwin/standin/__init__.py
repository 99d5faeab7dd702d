"""Stand-ins for what only macOS has: what runs with them proves nothing of Seatbelt."""
