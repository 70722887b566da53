"""YAML text as plain data with line numbers.

Values follow YAML 1.2's core schema, so that ``on``, ``yes`` and ``12:30`` are text. The node tree is PyYAML's;
nothing but plain scalars, lists and mappings is ever made of it, and its size and depth are bounded (an alias
counts as often as it is used), so that no document can take more than its share of memory or stack.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 50
MAX_NODES = 20_000  # a real definition has fewer than 500

_CORE = "tag:yaml.org,2002:"
_MERGE = _CORE + "merge"
_MAX_DIGITS = 300  # more than any number that a float can hold

Path = tuple[str | int, ...]


@dataclass
class YamlProblem(Exception):
    """The text is not YAML that we read; ``message`` says why, ``line`` is 1-based."""

    message: str
    line: int | None = None


@dataclass
class Document:
    """``lines``: the line of each path; ``spelling``: the text of each value that is a number or a boolean;
    ``problems``: what is wrong although the rest could be read."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    spelling: dict[Path, str] = field(default_factory=dict)
    problems: list[tuple[Path, YamlProblem]] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """Composes nodes only, by YAML 1.2's rules for what an unquoted value is, and within our bounds."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        self._nodes += 1
        line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
        if self._depth > MAX_DEPTH:
            raise YamlProblem(f"is nested more than {MAX_DEPTH} levels deep; a definition needs 8", line)
        if self._nodes > MAX_NODES:
            raise YamlProblem(f"has more than {MAX_NODES} values; it should hold only the definition", line)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
    ("merge", r"^(?:<<)$", ["<"]),
):
    _Loader.add_implicit_resolver(_CORE + _tag, re.compile(_pattern), _first)


def read_yaml(text: str) -> Document:
    """Raises ``YamlProblem``, always with one sentence and, where there is one, a line."""
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlProblem(_sentence(error), None if mark is None else mark.line + 1) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlProblem("holds a control character here; take it out", line) from error
    document = Document()
    if root is not None:
        document.data = _Builder(document).value(root, ())
    return document


def _sentence(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "cannot be read"
    hint = ""
    if "\\t" in problem:
        hint = "; indent with spaces, not with tabs"
    elif "mapping values are not allowed" in problem:
        hint = "; check the indentation, and put text that holds a colon in quotes"
    elif "single document" in f"{error.context} {problem}":
        return "holds more than one document (`---`); keep one"
    return f"is not valid YAML: {problem}{hint}"


class _Builder:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._built = 0
        self._open: list[yaml.Node] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self._document.lines.setdefault(path, line)
        self._count(line)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if any(node is outer for outer in self._open):
            raise YamlProblem("has an alias (`*…`) that stands inside what it stands for; write it out", line)
        self._open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                self._check_tag(node, "seq")
                return [self.value(item, (*path, n)) for n, item in enumerate(node.value)]
            self._check_tag(node, "map")
            return self._mapping(node, path)
        finally:
            self._open.pop()

    def _count(self, line: int) -> None:
        self._built += 1
        if self._built > MAX_NODES:
            raise YamlProblem(f"has more than {MAX_NODES} values once its aliases are filled in; use fewer", line)

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[Hashable, int] = {}
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise YamlProblem("has a key that is a list or a mapping; keys are words", line)
            if key.tag == _MERGE:
                merged += self._merged(item, depth=0)
                continue
            here = (*path, key.value)
            if key.value in first:
                message = f"is there twice (first in line {first[key.value]}); keep one"
                self._document.problems.append((here, YamlProblem(message, line)))
                continue
            first[key.value] = line
            self._document.lines[here] = line
            result[key.value] = self.value(item, here)
        for key, item in merged:  # what is written out wins over what is merged, and of that the first
            if key.value not in result:
                result[key.value] = self.value(item, (*path, key.value))
        return result

    def _merged(self, node: yaml.Node, depth: int) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """The entries of ``<<: *alias`` or ``<<: [*alias, …]``."""
        line = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode) and depth == 0:
            for item in node.value:
                yield from self._merged(item, depth + 1)
            return
        if not isinstance(node, yaml.MappingNode):
            raise YamlProblem("has a `<<` that is not followed by a mapping", line)
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                raise YamlProblem("merges (`<<`) a mapping that merges another; write it out", line)
            self._count(line)
            yield key, item

    def _check_tag(self, node: yaml.Node, kind: str) -> None:
        if node.tag != _CORE + kind:
            raise YamlProblem(
                f"has the tag {node.tag.replace(_CORE, '!!')}; only plain values are read", node.start_mark.line + 1
            )

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text = node.value
        kind = node.tag.removeprefix(_CORE)
        if kind not in ("str", "null", "bool", "int", "float", "merge"):
            self._check_tag(node, "str")
        if kind == "null":
            return None
        if kind in ("str", "merge") or len(text) > _MAX_DIGITS:
            return text
        self._document.spelling[path] = text
        try:
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except (KeyError, ValueError):  # `!!int seven`
            raise YamlProblem(
                f'says that "{text}" is of type {kind}, which it is not', node.start_mark.line + 1
            ) from None
