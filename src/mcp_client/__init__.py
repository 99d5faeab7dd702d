"""mcp-client: run Model Context Protocol servers nobody has to trust.

Glossary, one word per concept, used alike in code, documents and messages:

reference
    What the user types: ``org/name@1.2.3``, ``org/name@sha:<hex>`` or ``org/name@digest:sha256:<hex>``.
    Always immutable.
resolution
    What a registry says a reference means: two descriptors and a status.
descriptor
    Where an artifact is and how to prove it: digest, URL, size.
digest
    ``sha256:`` and 64 hexadecimal digits; the name of an artifact everywhere.
artifact
    A manifest or a bundle, as downloaded.
manifest
    The JSON document that describes a package: entrypoints, what it asks for, its limits.
bundle
    The gzip-compressed tar archive with the package's files.
tree
    A bundle, unpacked once per digest and never written again.
entrypoint
    Command, arguments and environment for one operating system and architecture.
policy
    What the server may do: what the manifest asks for, within what the operator allows, plus what the
    user granted on the command line.
grant
    Something the user gave by hand: a mount, an environment variable, a host, a configuration value.
spec
    The complete, printable plan of one sandboxed process.
control
    One named measure of the sandbox; it is enforced, degraded or unavailable.
outcome
    How a server ended: exit, signal, timeout or out of memory, with what it used.
"""

__version__ = "0.1.0"
