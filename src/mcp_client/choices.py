"""The words that settings and fields may hold; apart, since a warm start does not wait for ``typing``."""

from typing import Literal

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
OnMissing = Literal["refuse", "degrade"]
OptionType = Literal["string", "number", "boolean", "file", "directory"]
Access = Literal["ro", "rw"]
Transport = Literal["stdio", "http"]
Status = Literal["published", "deprecated", "revoked", "quarantined"]
