"""The local endpoint of a server that speaks HTTP: each request is read, judged, framed anew and passed on.

    proxy.Proxy     a companion of the supervisor's loop; listens, counts, keeps the clock
    guard.Guard     who may ask: Host, Origin, token
    link.Upstream   who makes connections to the server: one method, connect(on_socket)
    services.py     what all connections share, deadlines above all
    inbound.py      a client's connection
    answer.py       what is written to it
    exchange.py     one request and its answer
    link.py         a connection to the server, and those kept for the next request
    request_reader.py, outgoing.py   a request, as it comes in and as it goes on
    answer_reader.py, chunks.py      an answer, as it comes in
    body.py         what goes on of a body that has been read, and where the rest of a long one goes
    channel.py      a socket, and what it still has to send
    fields.py       what a head may be, and which of its fields are passed on
    counts.py       the audit record's figures

Only h11 reads and writes HTTP, but for plain chunks of an answer; the rest of a long body whose length it has
read does not pass through it. What it reads more kindly than RFC 9112 asks of a proxy is refused here before
the server hears of it; no byte of a head or of the framing is copied from one side to the other.

How to drive it::

    proxy = Proxy(listener, upstream, guard, port=8080)       # a listening TCP socket, blocking or not
    proxy.watch(poll); proxy.move(poll, ready); proxy.due_at  # as every Companion
    proxy.idle_since        # monotonic time since when no request is under way, None while one is
    proxy.upstream_gone()   # the server has ended: 502 from now on
    proxy.drain()           # no new connections; proxy.drained is True once every answer is on its way
    proxy.close()           # ends everything and returns the record for the audit log; closes the listener

``Upstream.connect(on_socket)`` may call back at once or later, with a TCP socket that is connected or
connecting (which may still fail: the proxy notices), or with None. The socket then belongs to the proxy.
Hosts and origins are lower-case text as clients send them: ``localhost:5123``, ``https://app.example``.
"""
