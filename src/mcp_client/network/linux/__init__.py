"""The engine on Linux: epoll, sockets that keep their namespace, and the routing table."""
