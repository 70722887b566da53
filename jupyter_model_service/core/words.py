"""Which parts of a command are the port, the address and the model folder, and what they become on one machine.

A definition is written for a container: its own network, the model folder at ``/models``. Where replicas are
processes side by side, the words that mean those things are replaced, and nothing else:

* the port: ``{port}``; an argument equal to the declared port; the whole number at an argument's end after
  ``=`` or ``:`` (``--port=8000``, ``0.0.0.0:8000``, ``http://localhost:8000/``), unless it belongs to another
  machine (``http://10.0.0.7:8000``);
* the address: ``0.0.0.0`` and ``::`` as an argument, after ``=``, or before a port, and the missing or ``*``
  host of ``:8000`` and ``*:8000``, which mean every address, too;
* the folder: ``/models`` and what is below it, at the start of a word or after one of ``= : , @`` or a quote;
  never ``/models2``, never ``/srv/models``.

In a shell script the same holds for its words. Its quoting is followed, so that a folder with a blank stays one
word, whatever quotes it is put between.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FOLDER = "/models"  # where a container sees the model folder

_BRACES = r"(?P<brace>(?<![{$])\{(?:port|model_path)\})"
_PATH = rf"(?P<path>(?:\A|(?<=[=:,@\"'])|(?<=:-)){FOLDER}(?=\Z|[/:,\"'}}]))"
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash"})
_PORT_VARIABLE = re.compile(r"(?<!\\)\$(?:\{(?:MODEL_SERVICE_)?PORT\b|(?:MODEL_SERVICE_)?PORT\b)")
_OF_THIS_MACHINE = re.compile(r"(?:0\.0\.0\.0|127(?:\.\d+){3}|localhost|\*|\[::1?\]|::1?|)\Z")


@dataclass(frozen=True)
class Place:
    """Where a replica runs. ``declared`` is the port that the definition names and ``port`` the one to use.

    ``folder`` and ``host`` replace ``/models`` and the unspecified addresses; ``None`` in a container.
    """

    declared: int
    port: int
    model_path: str
    folder: str | None = None
    host: str | None = None


class Rewriter:
    """Rewrites words for one place. ``names_port`` tells whether any of them named the port so far."""

    def __init__(self, place: Place) -> None:
        self.names_port = False
        self._place = place
        plain, served = _BRACES, _BRACES
        if place.folder is not None:
            plain = served = f"{_BRACES}|{_PATH}"
            served = f"{plain}|{_host(place.declared)}|{_number(place.declared)}"
        self._braces = re.compile(_BRACES)
        self._plain = re.compile(plain)
        self._served = re.compile(served)

    def text(self, text: str) -> str:
        """Only the braces: what is written into files and logs."""
        return self._rewritten(text, self._braces)

    def path(self, text: str) -> str:
        """Braces and the folder: file names and values of variables."""
        return self._rewritten(text, self._plain)

    def arguments(self, argv: Sequence[str], *, serves: bool) -> tuple[str, ...]:
        """A command; in the one that ``serves`` the port and the address, too. What follows ``bash -c`` is a
        script."""
        pattern = self._served if serves else self._plain
        script = _script_index(argv)
        return tuple(
            self.script(word, serves=serves) if index == script else self._rewritten(word, pattern)
            for index, word in enumerate(argv)
        )

    def script(self, script: str, *, serves: bool) -> str:
        if self._place.folder is not None and serves and _PORT_VARIABLE.search(script):
            self.names_port = True
        pattern = self._served if serves else self._plain
        edits: list[tuple[int, int, str]] = []
        for word in _words(script):
            literal = "".join(char.char for char in word)
            for match in pattern.finditer(literal):
                first, last = match.start(), max(match.start(), match.end() - 1)
                start, end = word[first].start, word[last].end if match.group() else word[first].start
                if end - start != sum(c.end - c.start for c in word[first : match.end()]):
                    continue  # quotes in the middle of it, such as 80"00"
                new = self._replacement(match)
                if new != match.group():
                    edits.append((start, end, _quoted(new, word[first].context)))
        for start, end, new in reversed(edits):
            script = script[:start] + new + script[end:]
        return script

    def _rewritten(self, text: str, pattern: re.Pattern[str]) -> str:
        return pattern.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        place, kind = self._place, match.lastgroup
        if kind == "path":
            return place.folder or FOLDER
        if kind == "host":
            return place.host or match.group()
        if match.group() == "{model_path}":
            return place.model_path
        if kind == "number" and _of_another_machine(match):
            return match.group()
        self.names_port = True
        return str(place.port)


def _host(port: int) -> str:
    named = rf":(?:{port}|\{{port\}})/?\Z"
    return (
        r"(?P<host>(?:\A|(?<==)|(?<=//))(?:"
        rf"(?:0\.0\.0\.0|\[::\])(?=\Z|:(?:\d+|\{{port\}})/?\Z)|::(?=\Z|{named})|\*?(?={named})))"
    )


def _number(port: int) -> str:
    return rf"(?P<number>(?:\A|(?<==)){port}\Z|(?<=:){port}(?=/?\Z))"


def _of_another_machine(match: re.Match[str]) -> bool:
    """Whether the host before ``:8000`` is somebody else's: ``db.example:8000``, ``http://db:8000``.

    A word without a dot and without ``//`` may be a scheme (``tcp:8000``) and is not taken for a host.
    """
    before = match.string[: match.start()]
    if not before.endswith(":"):
        return False
    head, host = re.fullmatch(r"(.*[=,/@])?(.*)", before[:-1], re.DOTALL).groups()  # type: ignore[union-attr]
    if _OF_THIS_MACHINE.match(host):
        return False
    return "." in host or (head or "").endswith("//")


def _script_index(argv: Sequence[str]) -> int | None:
    """Where a shell's script stands: after ``-c``, ``-lc``, …, with nothing but options before it."""
    for index, word in enumerate(argv):
        if word.rsplit("/", 1)[-1] not in _SHELLS:
            continue
        for at in range(index + 1, len(argv) - 1):
            if re.fullmatch(r"-[a-zA-Z]*c", argv[at]):
                return at + 1
            if not argv[at].startswith("-") and not argv[at - 1].endswith("o"):  # -o pipefail
                break
    return None


# --- the words of a shell script ---------------------------------------------------------------------

_BLANKS = frozenset(" \t\n\r;&|<>`")
_PLAIN = frozenset({"plain", "group", "substitution", "backtick"})  # no quotes around it


@dataclass(frozen=True)
class _Char:
    """One character of a word and where it stands in the script; ``context`` is the quoting around it."""

    char: str
    start: int
    end: int
    context: str


def _words(script: str) -> Iterator[list[_Char]]:
    """The script's words without their quotes. Text between quotes falls into words as well, at blanks and at
    the other kind of quote: it may be a script of its own (``bash -c "…"``)."""
    word: list[_Char] = []
    for char in _characters(script):
        if char is None:
            if word:
                yield word
            word = []
        else:
            word.append(char)
    if word:
        yield word


def _characters(script: str) -> Iterator[_Char | None]:
    """Each character that means itself; ``None`` where a word ends.

    What a ``$(…)`` stands for is unknown, but it is the beginning of the word that follows at once: ``\\0``.
    """
    stack = ["plain"]
    index, at_start = 0, True
    while index < len(script):
        char, pair, context = script[index], script[index : index + 2], stack[-1]
        plain = context in _PLAIN
        step = 1
        given: list[_Char | None] = []
        if plain and char == "#" and at_start:
            step = len(script[index:].split("\n", 1)[0])
        elif (char == "'" and context in ("single", "ansi")) or (char == '"' and context == "double"):
            stack.pop()
        elif plain and pair in ("$'", '$"'):
            pass  # $'…' and $"…": the dollar belongs to the quote
        elif plain and char in "'\"":
            ansi = index > 0 and script[index - 1] == "$"
            stack.append("double" if char == '"' else "ansi" if ansi else "single")
        elif pair == "$(" and (plain or context == "double"):
            stack.append("substitution")
            given, step = [None], 2
        elif char == "`" and (plain or context == "double"):
            given = _opened_or_closed(stack, "backtick", index)
        elif plain and char == "(":
            stack.append("group")
            given = [None]
        elif plain and char == ")":
            given = _opened_or_closed(stack, "substitution", index) if context == "substitution" else [None]
            if context == "group":
                stack.pop()
        elif char == "\\" and _escapes(pair, context):
            step = 2
            given = [] if pair == "\\\n" else [_Char(pair[1], index, index + 2, context)]
        elif char in _BLANKS or char in "'\"" or (context == "single" and char in "()"):
            given = [None]
        else:
            given = [_Char(char, index, index + 1, context)]
        yield from given
        at_start = (at_start and not given) or given == [None]
        index += step


def _opened_or_closed(stack: list[str], kind: str, index: int) -> list[_Char | None]:
    if kind not in stack:
        stack.append(kind)
        return [None]
    while stack.pop() != kind:
        pass
    return [None, _Char("\0", index + 1, index + 1, stack[-1])]


def _escapes(pair: str, context: str) -> bool:
    if len(pair) < 2 or context == "single":
        return False
    return context != "double" or pair[1] in '$`"\\\n'


def _quoted(text: str, context: str) -> str:
    """The text as it must be written inside that kind of quotes to mean itself."""
    if context in _PLAIN:
        return shlex.quote(text)
    if context == "double":
        return re.sub(r'([$`"\\])', r"\\\1", text)
    if context == "ansi":
        return re.sub(r"(['\\])", r"\\\1", text)
    return text.replace("'", "'\\''")
