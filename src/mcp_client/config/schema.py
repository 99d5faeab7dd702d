"""The schema of the configuration file and of the operator's policy file.

Edge module: imports pydantic, so it is only reached when a file has changed. The field names are the keys.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from mcp_client.choices import LogFormat, LogLevel, OnMissing
from mcp_client.config import units, values
from mcp_client.network.rules import parse_rules

_MAX_COUNT = 10_000_000


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")  # noqa: TRY004 - pydantic collects ValueError only
    return value


def _optional_size(value: Any) -> int | None:
    return None if value is None or value == values.NOTHING else units.parse_size(value)


def _optional_count(value: Any) -> Any:
    return None if value == values.NOTHING else value


def _optional_duration(value: Any) -> float | None:
    return None if value is None else values.optional_duration(_scalar(value))


def _revalidation_interval(value: Any) -> float | None:
    return values.revalidation_interval(_scalar(value))


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        raise ValueError("expected a duration such as 30s, 5m, 1h30m or 500ms")  # noqa: TRY004
    return value


def _url(value: Any) -> str | None:
    return None if value is None else values.registry_url(_text(value))


def _optional_path(value: Any) -> str | None:
    return None if value is None or value == values.NOTHING else values.anchored_path(_text(value))


def _allowed_host(value: Any) -> str:
    return str(*parse_rules([_text(value)]))


def _denied_host(value: Any) -> str:
    (rule,) = parse_rules([_text(value)])
    if rule.tls:
        raise ValueError("expected no tls: here, since a denial covers every connection")
    return str(rule)


Duration = Annotated[float, BeforeValidator(lambda value: units.parse_duration(_scalar(value)))]
OptionalDuration = Annotated[float | None, BeforeValidator(_optional_duration)]
RevalidationInterval = Annotated[float | None, BeforeValidator(_revalidation_interval)]
Size = Annotated[int, BeforeValidator(units.parse_size)]
OptionalSize = Annotated[int | None, BeforeValidator(_optional_size)]
Count = Annotated[int, Field(ge=1, le=_MAX_COUNT)]
OptionalCount = Annotated[Count | None, BeforeValidator(_optional_count)]
Url = Annotated[str | None, BeforeValidator(_url)]
Path = Annotated[str, BeforeValidator(lambda value: values.anchored_path(_text(value)))]
OptionalPath = Annotated[str | None, BeforeValidator(_optional_path)]
Level = Annotated[LogLevel, BeforeValidator(lambda value: values.log_level(_text(value)))]
Pattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_*?\[\]!-]+$", max_length=256)]
AllowedHost = Annotated[str, BeforeValidator(_allowed_host)]
DeniedHost = Annotated[str, BeforeValidator(_denied_host)]
RuntimeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=64)]


class Section(BaseModel):
    """A mapping in the file; an unknown key is an error, since a misspelt limit is no limit."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Registry(Section):
    """``registry:``."""

    url: Url = None
    connect_timeout: Duration = 0
    timeout: Duration = 0
    download_timeout: Duration = 0
    ca_file: OptionalPath = None
    insecure: bool = False
    offline: bool = False
    revalidate: RevalidationInterval = 0
    max_manifest: Size = 0
    max_bundle: Size = 0


class Cache(Section):
    """``cache:``."""

    dir: Path = ""
    max_size: Size = 0
    ttl: OptionalDuration = None
    max_unpacked: Size = 0
    max_entries: Count = 0


class Caps(Section):
    """The part of ``executor:`` that an operator may lower."""

    max_memory: OptionalSize = None
    max_cpu: OptionalCount = None
    max_processes: OptionalCount = None
    max_fds: OptionalCount = None


class Executor(Caps):
    """``executor:``."""

    default_timeout: OptionalDuration = None
    grace: Duration = 0
    start_timeout: Duration = 0
    idle_timeout: OptionalDuration = None
    compile: bool = True


class Environment(Section):
    """``policy.environment:``."""

    deny: Annotated[list[Pattern], Field(max_length=1000)] = []


class Network(Section):
    """``policy.network:``."""

    allow: Annotated[list[AllowedHost], Field(max_length=1000)] = ["*"]
    deny: Annotated[list[DeniedHost], Field(max_length=1000)] = []


class Policy(Section):
    """``policy:``."""

    environment: Environment = Environment()
    subprocess: bool = True
    network: Network = Network()


class Sandbox(Section):
    """``sandbox:``."""

    on_missing: OnMissing = "refuse"


class Audit(Section):
    """``audit:``."""

    file: Path = ""
    max_size: Size = 0
    keep: Annotated[int, Field(ge=1, le=1000)] = 1


class Log(Section):
    """``log:``."""

    level: Level = "warning"
    format: LogFormat = "text"


class ConfigFile(Section):
    """``config.yaml``. Which keys were given is what counts: defaults live in ``settings``."""

    registry: Registry = Registry()
    cache: Cache = Cache()
    executor: Executor = Executor()
    policy: Policy = Policy()
    sandbox: Sandbox = Sandbox()
    audit: Audit = Audit()
    log: Log = Log()
    runtimes: Annotated[dict[RuntimeName, Path], Field(max_length=100)] = {}


class PolicyFile(Section):
    """``/etc/mcp/policy.yaml``: what an operator may take away on this machine."""

    policy: Policy = Policy()
    sandbox: Sandbox = Sandbox()
    executor: Caps = Caps()


def known_keys(model: type[Section]) -> tuple[str, ...]:
    """Every dotted key of ``model`` that holds a value, in the order of the schema."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            keys += [f"{name}.{key}" for key in known_keys(inner)]
        else:
            keys.append(name)
    return tuple(keys)
