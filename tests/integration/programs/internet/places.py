"""Names and addresses of the internet of the tests. They look public, and nobody uses them for anything here.

Addresses for documents (RFC 5737) would not do: like everything that is not public, they are closed to names.
"""

NEAR_V4, NEAR_V6 = "11.7.0.1", "2d00:7::1"  # the machine on which mcp runs
FAR_V4, FAR_V6 = "11.7.0.2", "2d00:7::2"  # hosts that may be reached
OTHER_V4, OTHER_V6 = "11.7.0.3", "2d00:7::3"  # hosts that may not
RESOLVER = "11.7.0.53"
PRIVATE_V4 = "10.7.0.2"
SILENT_V6 = "2d00:7::dead"  # nobody answers there

PORTS = {"http": 80, "https": 443, "redis": 6379}
PROXY = ("127.0.0.1", 3128)

ALLOWED, OTHER = "api.reach.example", "api.other.example"
ZONE = {
    ALLOWED: (FAR_V4, FAR_V6),
    OTHER: (OTHER_V4, OTHER_V6),
    "v4.reach.example": (FAR_V4,),
    "v6.reach.example": (FAR_V6,),
    "half.reach.example": (FAR_V4, SILENT_V6),
    "private.reach.example": (PRIVATE_V4,),
    "self.reach.example": ("127.0.0.1",),
    "near.reach.example": (NEAR_V4,),
    "alias.reach.example": "v4.reach.example",
    "nothing.reach.example": (),
}
# Only the machine's hosts file knows it.
FILED = "filed.reach.example"
HOSTS = f"127.0.0.1 localhost\n::1 localhost\n{FAR_V4} {FILED}\n"
