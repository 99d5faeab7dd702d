"""The composition root: builds each part when it is first asked for, and once."""

from __future__ import annotations

import os

from mcp_client.config.load import load_settings
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING, cached_property
from mcp_client.memory import give_back

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_client.audit.log import AuditLog
    from mcp_client.cache.store import Cache
    from mcp_client.config.settings import LogSettings, Settings
    from mcp_client.logs import Log
    from mcp_client.registry.client import RegistryClient
    from mcp_client.registry.credentials import Credentials
    from mcp_client.sandbox.backend import Backend, HeadStart
    from mcp_client.timings import Timings

EMBEDDED_REGISTRY = "embedded"


class App:
    """The program's parts. A warm run touches only some of them, and imports nothing for the rest.

    An App belongs to one thread: neither the database nor the registry's connections can be shared.
    """

    def __init__(
        self,
        overrides: Mapping[str, str] | None = None,
        head_start: HeadStart | None = None,
        timings: Timings | None = None,
    ) -> None:
        """``overrides`` are command line flags: config, log_level, offline, on_missing, registry, timeout.

        With a ``head_start`` the sandbox is being built already; ``timings`` hears of each stage.
        """
        self.overrides = dict(overrides or {})
        self.head_start = head_start
        self.timings = timings

    def with_overrides(self, overrides: Mapping[str, str | None]) -> App:
        """A copy with further flags; those that were not given (None) change nothing."""
        given = {key: value for key, value in overrides.items() if value is not None}
        return App({**self.overrides, **given}, self.head_start, self.timings)

    def mark(self, stage: str) -> None:
        """Note that a stage of the run is done, if somebody wants to know how long it took."""
        if self.timings is not None:
            self.timings.mark(stage)

    def at_registry(self, url: str) -> App:
        """A copy that asks the registry at ``url``, which a file named and not the user.

        Raises ``registry-protocol`` for this machine, whose services trust who reaches them, unless the
        registry in use is here, too.
        """
        from mcp_client.registry.urls import leads_here

        app = self.with_overrides({"registry": url})
        if leads_here(app.registry_url) and not leads_here(self.registry_url):
            raise MCPError(
                "registry-protocol",
                f"the lock file leads to a registry on this machine: {app.registry_url}",
                hint=f"if it is yours, name it yourself: --registry {app.registry_url}",
            )
        return app

    @cached_property
    def settings(self) -> Settings:
        """Flags over environment over file over defaults. Raises ``config-*``."""
        return load_settings(self.overrides, os.environ)

    @property
    def registry_url(self) -> str:
        """The configured registry, or the one that comes with the program."""
        return self.settings.registry.url or EMBEDDED_REGISTRY

    @cached_property
    def log(self) -> Log:
        """What we say on standard error."""
        from mcp_client.logs import Log

        return Log(self.settings.log.level, self.settings.log.format)

    @cached_property
    def cache(self) -> Cache:
        """Artifacts, trees and resolutions."""
        from mcp_client.cache.store import Cache

        log = self.settings.log
        return Cache(self.settings.cache, lambda text: _warn(log, text))

    @cached_property
    def credentials(self) -> Credentials:
        """Tokens by registry origin."""
        from mcp_client.registry.credentials import Credentials

        return Credentials(os.path.join(self.settings.home, "auth.json"))

    @cached_property
    def registry(self) -> RegistryClient:
        """The registry everything is resolved at. Raises ``offline-missing`` where none may be asked."""
        from mcp_client.registry.client import open_registry
        from mcp_client.registry.urls import origin_of

        if self.settings.registry.offline:
            raise MCPError(
                "offline-missing",
                "this needs the registry, and --offline forbids to ask it",
                hint="leave out --offline, or unset MCP_OFFLINE and registry.offline",
            )
        origin = origin_of(self.registry_url)
        return open_registry(
            self.registry_url,
            settings=self.settings.registry,
            credentials=self.credentials,
            dialect=self.cache.resolutions.dialect(origin),
            on_dialect=lambda dialect: self.cache.resolutions.remember_dialect(origin, dialect),
        )

    def drop_head_start(self) -> None:
        """Before what takes long: processes that wait for orders would keep our streams open meanwhile."""
        if self.head_start is not None:
            self.head_start.drop()

    def close(self) -> None:
        """Let go of connections and the database; each is there again when it is needed."""
        for part in ("registry", "cache"):
            if part in self.__dict__:
                self.__dict__.pop(part).close()

    def settle(self) -> None:
        """close(), and give free memory back: this process stays, and has little left to do."""
        self.close()
        give_back()

    @cached_property
    def audit(self) -> AuditLog:
        """The record of every run."""
        from mcp_client.audit.log import AuditLog

        return AuditLog(self.settings.audit)

    @cached_property
    def backend(self) -> Backend:
        """The sandbox of this platform. Raises ``sandbox-unavailable``."""
        from mcp_client.sandbox.backend import open_backend

        filters = os.path.join(self.settings.cache.dir, "filters")
        return open_backend(filters, self.settings.sandbox.on_missing, self.head_start)


def _warn(settings: LogSettings, text: str) -> None:
    """Not a method: a part that leads back to the program's parts would be collected later, in any thread."""
    from mcp_client.logs import Log

    Log(settings.level, settings.format).warning(text)
