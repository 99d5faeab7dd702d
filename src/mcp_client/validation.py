"""How objects of JSON are described to the core of pydantic, for all that comes from strangers.

Edge module. The core is what validates: pydantic's classes only describe schemas to it, and importing them
took a fifth of a pull's start.
"""

from typing import get_args

from pydantic_core import core_schema as core
from pydantic_core.core_schema import CoreSchema


def part(**fields: CoreSchema) -> CoreSchema:
    """An object with these fields, which have to be there unless optional(), and any others."""
    return core.typed_dict_schema(
        {
            name: core.typed_dict_field(schema, required=schema["type"] != "default")
            for name, schema in fields.items()
        }
    )


def optional(default: object, schema: CoreSchema) -> CoreSchema:
    """A field that may be left out, and then has ``default``."""
    return core.with_default_schema(schema, default=default, validate_default=True)


def optional_or_null(schema: CoreSchema) -> CoreSchema:
    """A field that may be left out or ``null``: None stands for both."""
    return optional(None, core.nullable_schema(schema))


def one_of(words: object) -> CoreSchema:
    """A word of ``words``, a Literal."""
    return core.literal_schema(list(get_args(words)))
