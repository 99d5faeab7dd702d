"""YAML text to plain values, keeping the line of every key.

Edge module: imports yaml. Nodes are composed but never constructed, so no tag can build an object; size,
depth and the number of nodes (aliases counted each time they are used) are bounded.
"""

from typing import Any, NamedTuple

import yaml

MAX_SIZE = 128 * 1024
_MAX_NODES = 20_000
_MAX_DEPTH = 16
_TAG = "tag:yaml.org,2002:"

KeyPath = tuple[str | int, ...]


class Document(NamedTuple):
    """``value`` of the whole file (``{}`` when it is empty) and the line of each key, counted from 1."""

    value: Any
    lines: dict[KeyPath, int]


class DocumentError(Exception):
    """Not a document: what is wrong, at which line and key."""

    def __init__(self, message: str, line: int, path: KeyPath = ()) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.path = path


def parse_document(data: bytes) -> Document:
    """Parse one YAML document; raises :class:`DocumentError`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError("expected UTF-8 text", data.count(b"\n", 0, error.start) + 1) from None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # The usual case of an alias is none: *.example.com without quotes.
        alias = "alias" in f"{error.context} {error.problem}"
        mend = "; text that begins with * stands in quotes" if alias else ""
        raise DocumentError(f"not YAML: {error.problem}{mend}", mark.line + 1 if mark else 1) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DocumentError("not YAML: a control character", line) from None
    except RecursionError:
        raise DocumentError(f"nested deeper than {_MAX_DEPTH} levels", 1) from None
    if root is None:
        return Document({}, {})
    walk = _Walk(loader)
    value = walk.value(root, ())
    return Document({} if value is None else value, walk.lines)


class _Walk:
    def __init__(self, loader: yaml.SafeLoader) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._loader = loader
        self._left = _MAX_NODES

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._left -= 1
        if self._left < 0:
            raise DocumentError(f"more than {_MAX_NODES} values, aliases included", line, path)
        if len(path) > _MAX_DEPTH:
            raise DocumentError(f"nested deeper than {_MAX_DEPTH} levels", line, path)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        raise DocumentError("a YAML tag that is not for configuration", line, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise DocumentError("expected a word as key", line, path)
            key = str(key_node.value)
            if key in result:
                raise DocumentError(f"given twice, first at line {first[key]}", line, (*path, key))
            first[key] = line
            self.lines[(*path, key)] = line
            result[key] = self.value(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        construct = {
            _TAG + "null": self._loader.construct_yaml_null,
            _TAG + "bool": self._loader.construct_yaml_bool,
            _TAG + "int": self._loader.construct_yaml_int,
            _TAG + "float": self._loader.construct_yaml_float,
            # Text is what was written; a date, or `=`, is no more than text here.
            _TAG + "str": lambda node: node.value,
            _TAG + "timestamp": lambda node: node.value,
            _TAG + "value": lambda node: node.value,
        }.get(node.tag)
        line = node.start_mark.line + 1
        if construct is None:
            raise DocumentError("a YAML tag that is not for configuration", line, path)
        try:
            return construct(node)  # type: ignore[no-untyped-call]
        except (ValueError, KeyError):
            raise DocumentError("a value that does not fit its YAML tag", line, path) from None
