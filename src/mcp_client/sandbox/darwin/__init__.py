"""The sandbox of macOS: Seatbelt for what a server may reach, a keeper for what it may use."""
