"""Whose certificates are believed."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import certifi

from mcp_client.errors import MCPError, printable


def authorities(ca_file: str | None, environ: Mapping[str, str]) -> ssl.SSLContext:
    """Mozilla's authorities, or those of SSL_CERT_FILE and SSL_CERT_DIR in their place; and ``ca_file``'s.

    ``ca_file`` adds, since a company's registry may well lead to a public object store. Raises
    ``config-invalid`` for what cannot be read.
    """
    file = environ.get("SSL_CERT_FILE") or None
    listed = [folder for folder in environ.get("SSL_CERT_DIR", "").split(os.pathsep) if folder]
    # OpenSSL looks into folders when it needs an authority, and says nothing of one that is not there.
    folders = [folder for folder in listed if os.path.isdir(folder)]
    if listed and not folders and file is None:
        raise _unusable(listed[0], "no such folder", "SSL_CERT_DIR")
    with _reading(file or "", "SSL_CERT_FILE"):
        context = ssl.create_default_context(
            cafile=file or (None if folders else certifi.where()), capath=folders[0] if folders else None
        )
    for folder in folders[1:]:
        context.load_verify_locations(capath=folder)
    if ca_file is not None:
        with _reading(ca_file, "registry.ca_file"):
            context.load_verify_locations(cafile=ca_file)
    return context


@contextmanager
def _reading(file: str, named_by: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError:
        raise _unusable(file, "it holds no certificate in PEM form", named_by) from None
    except OSError as error:
        raise _unusable(file, error.strerror or "unreadable", named_by) from error


def _unusable(path: str, problem: str, named_by: str) -> MCPError:
    return MCPError(
        "config-invalid",
        f"cannot read the certificates to trust in {printable(path)}: {problem}",
        hint=f"correct {named_by}",
    )
