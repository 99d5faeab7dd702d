"""A server that speaks HTTP, offered to a client that speaks only STDIO.

bridge.py     what the supervisor drives: lines in, lines out, in what order, and how it ends
streams.py    standard input and output, without waiting for either
messages.py   what a line is, as far as the transport must know
session.py    what the headers of a request say: session, revision, names (2025-11-25 and 2026-07-28)
calls.py      a request or notification on its way and its answers; the stream of what the server begins
transfer.py   one HTTP request and its answer, read and written by h11
events.py     server-sent events
"""
