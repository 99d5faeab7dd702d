"""The engine: an event loop, sockets that keep their namespace, a proxy where there is none, the routes."""
