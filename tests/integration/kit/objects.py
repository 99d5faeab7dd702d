"""A real object store, s3rver, and URLs that let whoever has them fetch one object for a while."""

import base64
import hashlib
import hmac
import http.client
import os
import subprocess
import time
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

from kit.build import built, npm_install

_REQUIREMENT = "s3rver@3"
# Those s3rver knows; they open nothing else.
_ACCESS_KEY, _SECRET_KEY = "S3RVER", "S3RVER"
_BUCKET = "artifacts"


class ObjectStore:
    """s3rver on loopback with one bucket. A second credential beside a presigned URL is answered by 400."""

    def __init__(self, folder: str) -> None:
        home = built("s3rver", [_REQUIREMENT], lambda staged: npm_install(staged, _REQUIREMENT))
        program = os.path.join(home, "node_modules", "s3rver", "bin", "s3rver.js")
        self._process = subprocess.Popen(
            [
                *("node", program, "--directory", folder, "--port", "0", "--address", "127.0.0.1"),
                *("--silent", "--no-vhost-buckets", "--configure-bucket", _BUCKET),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": folder},
        )
        assert self._process.stdout is not None
        line = next(line for line in self._process.stdout if "listening on" in line)
        self.port = int(line.rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, key: str, data: bytes) -> None:
        status, said = self.ask("PUT", self._signed("PUT", key), body=data)
        assert status == 200, said

    def presigned(self, key: str, version: int) -> str:
        """A URL for GET, signed in version 2, or in the form of version 4, which s3rver does not verify."""
        return self.url + (self._signed("GET", key) if version == 2 else self._in_the_form_of_4(key))

    def ask(
        self, method: str, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """What the store answers to a client that is not ours."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path.removeprefix(self.url), body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _signed(self, method: str, key: str) -> str:
        path = f"/{_BUCKET}/{quote(key)}"
        expires = int(time.time()) + 600
        signed = hmac.new(_SECRET_KEY.encode(), f"{method}\n\n\n{expires}\n{path}".encode(), hashlib.sha1)
        signature = base64.b64encode(signed.digest()).decode()
        query = {"AWSAccessKeyId": _ACCESS_KEY, "Expires": expires, "Signature": signature}
        return f"{path}?{urlencode(query)}"

    def _in_the_form_of_4(self, key: str) -> str:
        now = time.gmtime()
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{_ACCESS_KEY}/{time.strftime('%Y%m%d', now)}/us-east-1/s3/aws4_request",
            "X-Amz-Date": time.strftime("%Y%m%dT%H%M%SZ", now),
            "X-Amz-Expires": 600,
            "X-Amz-SignedHeaders": "host",
            "X-Amz-Signature": "0" * 64,
        }
        return f"/{_BUCKET}/{quote(key)}?{urlencode(query)}"
