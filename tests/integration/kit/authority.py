"""A certificate authority of the tests, and a certificate for the hosts of their internet."""

import base64
import os

from kit.build import built, run

SUBJECTS = "DNS:*.reach.example,DNS:*.other.example,DNS:reach.example"
# Python 3.13 and later check what RFC 5280 asks of an authority.
SETTINGS = f"""\
[req]
distinguished_name = name
prompt = no
[name]
CN = The tests
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {SUBJECTS}
"""


def files() -> dict[str, str]:
    """``ca.pem``, ``server.pem`` and ``server.key``, by their names."""
    folder = built("authority", [SETTINGS], _make)
    return {name: os.path.join(folder, name) for name in ("ca.pem", "server.pem", "server.key")}


def certificate() -> str:
    """The authority's certificate as text."""
    with open(files()["ca.pem"]) as opened:
        return opened.read()


def encoded() -> str:
    """The same in one line, as files with settings hold it."""
    return base64.b64encode(certificate().encode()).decode()


def _make(folder: str) -> None:
    settings = f"{folder}/settings"
    with open(settings, "w") as opened:
        opened.write(SETTINGS)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", settings]
    own = ["-x509", "-days", "10000", "-extensions", "authority"]
    run(["openssl", "req", *key, *own, "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem"])
    request = f"{folder}/request"
    # Another name than the issuer's, or the chain would look as if it ended here.
    run(["openssl", "req", *key, "-subj", "/CN=a server", "-keyout", f"{folder}/server.key", "-out", request])
    signer = ["-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-days", "9000"]
    form = ["-extfile", settings, "-extensions", "server"]
    run(["openssl", "x509", "-req", "-in", request, *signer, *form, "-out", f"{folder}/server.pem"])
