"""The local endpoint of a server that speaks HTTP: one request at a time is read, judged, framed anew, passed on.

    proxy.Proxy       a companion of the supervisor's loop; listens, counts, keeps the clock
    guard.Guard       who may ask: Host, Origin, token
    link.Upstream     who makes connections to the server: one method, connect(on_socket)
    inbound.py        a client's connection; exchange.py one request and its answer; link.py a connection to the
                      server, and those kept for the next request; channel.py a socket and what it still has to
                      send; fields.py what a header may be and which are passed on; counts.py the audit's figures

Only h11 reads and writes HTTP. What it reads more kindly than RFC 9112 asks of a proxy is refused here before the
server hears of it; no byte of a head or of the framing is copied from one side to the other.

How to drive it::

    proxy = Proxy(listener, upstream, guard, port=8080)     # a listening TCP socket, any blocking mode
    proxy.watch(poll); proxy.move(poll, ready); proxy.due_at  # as every Companion
    proxy.idle_since      # monotonic time since when no request is under way, None while one is
    proxy.upstream_gone() # the server has ended: 502 from now on
    proxy.drain()         # no new connections; proxy.drained is True once every answer is on its way
    proxy.close()         # ends everything and returns the record for the audit log; the listener is closed too

``Upstream.connect(on_socket)`` may call back at once or later, with a non-blocking TCP socket that is connected or
connecting (which may still fail: the proxy notices), or with None. The socket then belongs to the proxy.
Hosts, origins: lower-case text, exactly as clients send them (``localhost:5123``, ``https://app.example``).
"""
