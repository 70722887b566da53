"""Which model a body names, found while it comes: the top-level ``model`` of a JSON object, or of a form's fields.

A body is never parsed as a whole: it may be 1 MiB of images and messages, of which nothing but one name is wanted, and
whatever is wrong with it otherwise is for the model to say. A scanner is fed with pieces that are cut anywhere, looks
at each byte once, and keeps nothing but the name. Of several the first counts: what follows it is not waited for.
"""

from __future__ import annotations

import enum
import json
import re

__all__ = ["Found", "ModelOfForm", "ModelOfJson", "scanner"]


class Found(enum.Enum):
    """How far a scanner is. All but ``MORE`` are final."""

    MORE = "more"  # nothing yet
    NAME = "name"  # it stands in ``name``
    NOTHING = "nothing"  # the body is over, or its part that counts, without one
    NO_TEXT = "no text"  # it is there, and is not a text
    TOO_FAR = "too far"  # it may be there, after more of other things than anybody has to say
    MALFORMED = "malformed"  # the body is not what it should be


_KEY = b"model"
_LONGEST_KEY = 6 * len(_KEY)  # each letter written as \u006d
_LONGEST_NAME = 1024  # bytes as written; a longer one is cut, for no service is called like that
_MOST_MEMBERS = 1000  # before it; each costs more time than its few bytes cost its sender
_MOST_PARTS = 100  # of a form before its model: each costs a look at all of a piece (256 KiB of empty ones took 0.5 s)

_BLANK = re.compile(rb"[ \t\r\n]*")
_REST_OF_SCALAR = re.compile(rb"[^\s,}\]]*")
# In a value: a bracket that opens, one that closes, or a string. The last two groups are there where a piece ends in
# a string, the first of them after a backslash. What a token is is decided by its first byte: nothing is tried twice.
_TOKEN = re.compile(rb'([\[{])|([\]}])|"[^"\\]*(?:\\.[^"\\]*)*(?:"|(\\)?(\Z))', re.DOTALL)
# A member at once, if it is whole and plainly written: its key; its text or word, and what follows; or the bracket by
# which its value begins. What does not match is looked at byte by byte.
_MEMBER = re.compile(
    rb'[ \t\r\n]*"([^"\\]{0,64})"[ \t\r\n]*:[ \t\r\n]*(?:(?:"([^"\\]*)"|[-+.\w]+)[ \t\r\n]*([,}])|[\[{])'
)

# Where in the object the next byte stands; numbers, since an enumeration's members are slow to compare.
_START, _FIRST_KEY, _NEXT_KEY, _COLON, _VALUE, _COMMA = range(6)  # of the first key: or the object's end
_SCALAR = 6  # in a number, or a word
_NESTED = 7  # in a list or an object
_KEY_STRING, _STRING, _NAME_STRING = range(8, 11)  # the second: in a value, directly or in what is nested


class ModelOfJson:
    """:meth:`feed` until it says something else than ``MORE``; :meth:`end` where the body is over before that."""

    __slots__ = ("_at", "_depth", "_escaped", "_is_model", "_members", "_result", "_text", "name")

    def __init__(self) -> None:
        self.name = ""
        self._at = _START
        self._depth = 0  # of what is nested in the value
        self._escaped = False  # the next byte of a string follows a backslash
        self._is_model = False  # the value belongs to the key
        self._members = 0  # that are over
        self._text = bytearray()  # of the key, or the name, as written
        self._result = Found.MORE

    def end(self) -> Found:
        if self._result is Found.MORE:
            self._result = Found.MALFORMED
        return self._result

    def feed(self, piece: bytes) -> Found:
        place, length = 0, len(piece)
        while place < length and self._result is Found.MORE:
            if self._at >= _KEY_STRING:
                place = self._string(piece, place)
            elif self._at == _NESTED:
                place = self._nested(piece, place)
            elif self._at == _SCALAR:
                place = self._scalar(piece, place)
            else:
                place = self._between(piece, place)
        return self._result

    def _between(self, piece: bytes, place: int) -> int:
        """Where blanks may stand, and one byte says what comes."""
        at = self._at
        if at in (_NEXT_KEY, _FIRST_KEY):
            member = _MEMBER.match(piece, place)
            if member is not None and member[1] != _KEY:
                return self._member(member[3], member.end())
        blank = _BLANK.match(piece, place)
        place = blank.end() if blank is not None else place
        if place == len(piece):
            return place
        byte = piece[place : place + 1]
        if at == _START and byte == b"{":
            self._at = _FIRST_KEY
        elif byte == b'"' and at in (_FIRST_KEY, _NEXT_KEY):
            self._at = _KEY_STRING
        elif at == _COLON and byte == b":":
            self._at = _VALUE
        elif at == _VALUE:
            return self._value(byte, place)
        elif at == _COMMA and byte == b",":
            self._next()
        elif byte == b"}" and at in (_COMMA, _FIRST_KEY):
            self._result = Found.NOTHING
        else:
            self._result = Found.MALFORMED
        return place + 1

    def _member(self, follows: bytes | None, place: int) -> int:
        if follows is None:
            self._at, self._depth, self._is_model = _NESTED, 1, False
        elif follows == b",":
            self._next()
        else:
            self._result = Found.NOTHING
        return place

    def _next(self) -> None:
        self._at = _NEXT_KEY
        self._members += 1
        if self._members >= _MOST_MEMBERS:
            self._result = Found.TOO_FAR

    def _value(self, byte: bytes, place: int) -> int:
        if self._is_model and byte != b'"':
            self._result = Found.MALFORMED if byte in b",:}]" else Found.NO_TEXT
        elif byte == b'"':
            self._at = _NAME_STRING if self._is_model else _STRING
        elif byte in b"[{":
            self._at, self._depth = _NESTED, 1
        elif byte in b",:}]":
            self._result = Found.MALFORMED
        else:
            self._at = _SCALAR
        return place + 1

    def _scalar(self, piece: bytes, place: int) -> int:
        rest = _REST_OF_SCALAR.match(piece, place)
        end = rest.end() if rest is not None else place
        if end < len(piece):
            self._at = _COMMA
        return end

    def _nested(self, piece: bytes, place: int) -> int:
        depth = self._depth
        for token in _TOKEN.finditer(piece, place):
            kind = token.lastindex
            if kind is None:
                continue  # a string
            if kind == 1:
                depth += 1
            elif kind == 2:
                depth -= 1
                if not depth:
                    self._at, self._depth = _COMMA, 0
                    return token.end()
            else:  # one that goes on in the next piece
                self._at, self._escaped = _STRING, token[3] is not None
        self._depth = depth
        return len(piece)

    def _string(self, piece: bytes, place: int) -> int:
        start = place
        if self._escaped:
            self._escaped = False
            place += 1
        while (end := piece.find(b'"', place)) >= 0 and _backslashes(piece, place, end) % 2:
            place = end + 1
        if self._at != _STRING:
            room = (_LONGEST_KEY if self._at == _KEY_STRING else _LONGEST_NAME) + 1 - len(self._text)
            self._text += piece[start : min(end if end >= 0 else len(piece), start + room)]
        if end >= 0:
            self._string_ended()
            return end + 1
        self._escaped = _backslashes(piece, place, len(piece)) % 2 == 1
        return len(piece)

    def _string_ended(self) -> None:
        at, raw = self._at, bytes(self._text)
        self._text.clear()
        if at == _STRING:
            self._at = _NESTED if self._depth else _COMMA
        elif at == _KEY_STRING:
            self._is_model = len(raw) <= _LONGEST_KEY and (raw == _KEY or (b"\\" in raw and _read(raw) == "model"))
            self._at = _COLON
        elif len(raw) > _LONGEST_NAME:
            self.name, self._result = raw[:_LONGEST_NAME].decode("utf-8", "replace"), Found.NAME
        else:
            name = _read(raw)
            self.name, self._result = (name, Found.NAME) if name is not None else ("", Found.MALFORMED)


def _backslashes(piece: bytes, start: int, end: int) -> int:
    """How many stand before ``end``, one after another."""
    place = end
    while place > start and piece[place - 1] == 0x5C:
        place -= 1
    return end - place


def _read(raw: bytes) -> str | None:
    """What is written between the quotes; ``None`` where that is no JSON."""
    try:
        return str(json.loads(b'"%b"' % raw))
    except ValueError:  # of UTF-8, too
        return None


# --- forms ------------------------------------------------------------------------------------------------------

_LONGEST_PART_HEAD = 8192  # bytes
_BOUNDARY = re.compile(rb'[;\s]boundary=(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_DISPOSITION = re.compile(rb"^content-disposition:[ \t]*form-data[ \t]*;(.*)$", re.IGNORECASE | re.MULTILINE)
_FIELD = re.compile(rb'(?:^|;)[ \t]*name=(?:"model"|model)[ \t]*(?:;|\r|$)', re.IGNORECASE)
_FILE = re.compile(rb"(?:^|;)[ \t]*filename\*?=", re.IGNORECASE)


class _In(enum.Enum):
    PART = 1  # whose content is of no interest, or before the first one
    HEAD = 2
    NAME = 3


class ModelOfForm:
    """The same for ``multipart/form-data`` (RFC 7578), in which a recording is sent to be transcribed."""

    __slots__ = ("_delimiter", "_in", "_parts", "_rest", "_result", "name")

    def __init__(self, boundary: bytes) -> None:
        self.name = ""
        self._delimiter = b"\r\n--" + boundary
        self._in = _In.PART
        self._parts = 0
        self._rest = b"\r\n"  # what may begin something; the first delimiter has no end of a line before it
        self._result = Found.MORE if boundary else Found.MALFORMED

    def end(self) -> Found:
        if self._result is Found.MORE:
            self._result = Found.MALFORMED
        return self._result

    def feed(self, piece: bytes) -> Found:
        data, self._rest = self._rest + piece, b""
        while self._result is Found.MORE and data:
            if self._in is _In.PART:
                data = self._part(data)
            elif self._in is _In.HEAD:
                data = self._head(data)
            else:
                data = self._name(data)
        return self._result

    def _part(self, data: bytes) -> bytes:
        found = data.find(self._delimiter)
        if found < 0:
            self._rest = data[max(0, len(data) - len(self._delimiter) + 1) :]
            return b""
        self._parts += 1
        if self._parts > _MOST_PARTS:
            self._result = Found.TOO_FAR
            return b""
        self._in = _In.HEAD
        return data[found + len(self._delimiter) :]

    def _head(self, data: bytes) -> bytes:
        if data[:2] == b"--":
            self._result = Found.NOTHING
            return b""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > _LONGEST_PART_HEAD:
                self._result = Found.MALFORMED
            self._rest = data
            return b""
        said = _DISPOSITION.search(data, 0, end)
        is_name = said is not None and _FIELD.search(said[1]) is not None and _FILE.search(said[1]) is None
        self._in = _In.NAME if is_name else _In.PART
        return data[end + 2 :]  # the end of the last line may begin the delimiter

    def _name(self, data: bytes) -> bytes:
        end = data.find(self._delimiter)
        if end >= 0 or len(data) > _LONGEST_NAME + len(self._delimiter):
            written = data[2 : end if end >= 0 else _LONGEST_NAME]
            self.name, self._result = written.decode("utf-8", "replace"), Found.NAME
        self._rest = data
        return b""


def scanner(content_type: bytes) -> ModelOfJson | ModelOfForm:
    """The one for a body of this type. What says nothing, or something else (``curl -d`` says that it is a form of the
    other kind), is taken for JSON; the scanner will see."""
    if content_type.lower().lstrip().startswith(b"multipart/form-data"):
        boundary = _BOUNDARY.search(content_type)
        return ModelOfForm((boundary[1] or boundary[2]) if boundary is not None else b"")
    return ModelOfJson()
