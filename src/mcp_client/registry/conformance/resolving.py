"""How a registry on the web answers: in every dialect, twice, by other names, and for what it has not."""

import re
import secrets
from collections.abc import Generator, Iterator

from mcp_client.errors import MCPError, printable
from mcp_client.reference import PackageReference
from mcp_client.registry.conformance.exchange import OK, Asker, Exchange
from mcp_client.registry.conformance.finding import Finding, finding, note
from mcp_client.registry.failures import refusal
from mcp_client.registry.https import DIALECTS, is_not_spoken
from mcp_client.registry.wire import parse_answer, parse_refusal
from mcp_client.resolution import Resolution

_NOT_FOUND, _UNAUTHORIZED = 404, 401
_DAY = 86_400
_SLOW = 2.0
_MAX_AGE = re.compile(r"(?:s-maxage|max-age)\s*=\s*\"?([0-9]{1,12})")
_BREAKS = frozenset({"registry-protocol", "digest-invalid"})


class Resolving:
    """The examination of one reference; ``resolution`` is what it means once judge_dialects() is through."""

    def __init__(self, asker: Asker, reference: PackageReference) -> None:
        """Nothing is asked yet."""
        self.resolution: Resolution | None = None
        self._asker = asker
        self._reference = reference
        self._dialect = ""

    def judge_dialects(self) -> Iterator[Finding]:
        """Ask in each dialect. Raises what a client would be told when none gives an answer."""
        stopped: tuple[str, Exchange] | None = None
        for dialect in DIALECTS:
            try:
                exchange = self._asker.resolve(dialect, self._reference)
            except MCPError as error:
                if not self._asker.redirected:
                    raise
                yield finding("redirects: resolve", False, f"resolve by {dialect}", error.message)
                continue
            came = f"{exchange.status} in {exchange.seconds * 1000:.0f} ms"
            if exchange.status == OK:
                yield from self._judge_spoken(dialect, exchange, stopped)
            elif self._dialect:
                yield note(f"dialect: {dialect}", exchange.tried, came)
            elif is_not_spoken(exchange.status, exchange.body):
                yield finding(f"dialect: {dialect}", True, exchange.tried, f"{came}: not spoken")
            else:
                stopped = stopped or (dialect, exchange)
        if stopped is not None and not self._dialect:
            exchange = stopped[1]
            raise refusal(
                exchange.status,
                exchange.location.url,
                exchange.body,
                str(self._reference),
                f"mcp login --registry {self._asker.home.origin}",
            )
        if not self._dialect:
            raise refusal(_NOT_FOUND, self._asker.base, b"", str(self._reference))

    def judge_more(self) -> Iterator[Finding]:
        """The same again, by its digest and its version, and what there is not."""
        resolution = self.resolution
        if resolution is None:
            return
        yield from self._judge_same("immutability", self._reference)
        alias = self._reference._replace(kind="digest", selector=f"digest:{resolution.manifest.digest}")
        if alias != self._reference:
            yield from self._judge_same("digest alias", alias)
        if self._reference.kind != "version" and resolution.version is not None:
            named = self._reference._replace(kind="version", selector=resolution.version)
            yield from self._judge_same("version", named)
        yield from self._judge_unknown()

    def judge_without_token(self, anonymous: Asker) -> Iterator[Finding]:
        """What somebody without a token is told."""
        try:
            exchange = anonymous.resolve(self._dialect, self._reference)
        except MCPError as error:
            yield finding("authentication", False, "the same without a token", error.message)
            return
        tried = f"{exchange.tried} without a token"
        if exchange.status == OK:
            yield note("authentication", tried, "200: everybody may resolve this package")
            return
        fine = exchange.status == _UNAUTHORIZED
        yield finding("authentication", fine, tried, str(exchange.status))
        if fine:
            yield _judge_error_body("error body: 401", exchange, tried)

    def _judge_spoken(
        self, dialect: str, exchange: Exchange, stopped: tuple[str, Exchange] | None
    ) -> Iterator[Finding]:
        tried, check = exchange.tried, f"dialect: {dialect}"
        if stopped is not None and not self._dialect:
            other, before = stopped
            yield finding(
                f"dialect: {other}",
                False,
                before.tried,
                f"{before.status}: clients stop, and never ask by {dialect}",
            )
        yield finding(check, True, tried, f"200 in {exchange.seconds * 1000:.0f} ms")
        if exchange.origins:
            led = f"{len(exchange.origins)} to {exchange.location.origin}"
            yield finding("redirects: resolve", True, tried, led)
        found = yield from self._judge_answer(dialect, exchange)
        if self._dialect:
            if found is not None and self.resolution is not None:
                agree = found.digests == self.resolution.digests
                yield finding("dialects agree", agree, tried, _digests(found))
            return
        self._dialect, self.resolution = dialect, found
        yield finding("time", exchange.seconds <= _SLOW, tried, f"{exchange.seconds * 1000:.0f} ms")
        yield _judge_caching(exchange)

    def _judge_answer(self, dialect: str, exchange: Exchange) -> Generator[Finding, None, Resolution | None]:
        """What the answer means, if it keeps the contract."""
        check, tried = f"answer: {dialect}", exchange.tried
        if exchange.problem is not None:
            yield finding(check, False, tried, f"after {exchange.received} bytes: {exchange.problem}")
            return None
        try:
            resolution = parse_answer(exchange.body, self._reference, self._asker.home.url)
        except MCPError as error:
            yield finding(check, False, tried, error.message)
            return None
        yield finding(check, True, tried, f"{len(exchange.body)} bytes, {_digests(resolution)}")
        if not self._dialect:
            yield _judge_fields(resolution, tried)
            kind = exchange.headers.get("Content-Type", "none")
            plain = kind.partition(";")[0].strip().lower()
            yield finding("answer type", plain == "application/json", tried, printable(kind, 80))
        return resolution

    def _judge_same(self, check: str, reference: PackageReference) -> Iterator[Finding]:
        resolution = self.resolution
        assert resolution is not None  # noqa: S101  judge_more() looked
        tried = f"resolve {reference.selector} by {self._dialect}"
        try:
            exchange = self._asker.resolve(self._dialect, reference)
            tried = exchange.tried
            if exchange.status != OK:
                yield finding(check, False, tried, str(exchange.status))
                return
            now = parse_answer(exchange.body, reference, self._asker.home.url)
        except MCPError as error:
            yield finding(check, False, tried, error.message)
            return
        # A version may have been bundled anew for a commit; its manifest is what names it.
        same = (
            now.manifest.digest == resolution.manifest.digest
            if check == "version"
            else now.digests == resolution.digests
        )
        yield finding(check, same, tried, _digests(now))

    def _judge_unknown(self) -> Iterator[Finding]:
        nobody = f"0.0.0-mcp-doctor.{secrets.token_hex(4)}x"
        reference = self._reference._replace(kind="version", selector=nobody)
        try:
            exchange = self._asker.resolve(self._dialect, reference)
        except MCPError as error:
            yield finding("unknown reference", False, f"resolve {nobody}", error.message)
            return
        yield finding(
            "unknown reference", exchange.status == _NOT_FOUND, exchange.tried, str(exchange.status)
        )
        if exchange.status == _NOT_FOUND and self._dialect != "static":
            yield _judge_error_body("error body: 404", exchange, exchange.tried)


def judge_status(resolution: Resolution) -> Finding:
    """Whether the package may run."""
    fine = resolution.status in {"published", "deprecated"}
    return finding("status", fine, "the answer", resolution.status)


def _judge_fields(resolution: Resolution, tried: str) -> Finding:
    missing = [
        name
        for name, value in (
            ("version", resolution.version),
            ("manifest.size_bytes", resolution.manifest.size),
            ("bundle.size_bytes", resolution.bundle.size),
        )
        if value is None
    ]
    return finding(
        "answer fields", not missing, tried, f"without {', '.join(missing)}" if missing else "all there"
    )


def _judge_error_body(check: str, exchange: Exchange, tried: str) -> Finding:
    words = parse_refusal(exchange.body)
    return finding(check, words is not None, tried, words or "no JSON object with error and message")


def _judge_caching(exchange: Exchange) -> Finding:
    told = exchange.headers.get("Cache-Control", "")
    ages = [int(age) for age in _MAX_AGE.findall(told.lower())]
    fine = "immutable" not in told.lower() and all(age <= _DAY for age in ages)
    return finding("caching", fine, exchange.tried, printable(told or "no Cache-Control", 120))


def _digests(resolution: Resolution) -> str:
    return f"manifest {resolution.manifest.digest}, bundle {resolution.bundle.digest}"
