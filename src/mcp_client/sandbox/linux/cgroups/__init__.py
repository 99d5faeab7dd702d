"""Limits on a whole server by cgroups v2 (cgroups(7)), without root where the host delegates."""
