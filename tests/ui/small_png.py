"""A screenshot in 256 colours: a third of its size, and nobody sees it. What Chromium writes is all that it reads."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = 256
NEAR = 100  # of two colours, the squares of their differences in red, green and blue together


def small_png(data: bytes) -> bytes:
    """``data``: 8 bits for each of red, green and blue (and alpha, which goes), not interlaced."""
    chunks = list(_chunks(data))
    width, height, depth, kind = struct.unpack(">IIBB", chunks[0][1][:10])
    assert (depth, kind) in ((8, 2), (8, 6)), f"no screenshot of Chromium: depth {depth}, kind {kind}"
    channels = 3 if kind == 2 else 4
    packed = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    rows = [
        [bytes(row[at : at + 3]) for at in range(0, width * channels, channels)]
        for row in _unfiltered(packed, width * channels, channels)
    ]
    counted = Counter(pixel for row in rows for pixel in row)
    palette = _palette(counted)
    place = {pixel: palette.index(_nearest(pixel, palette)) for pixel in counted}
    body = b"".join(b"\0" + bytes(place[pixel] for pixel in row) for row in rows)
    return SIGNATURE + b"".join(
        _chunk(name, content)
        for name, content in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            (b"PLTE", b"".join(palette)),
            (b"IDAT", zlib.compress(body, 9)),
            (b"IEND", b""),
        )
    )


def _palette(counted: Counter[bytes]) -> list[bytes]:
    """The most common first; not a second one that looks the same, so that a small green dot stays green."""
    palette: list[bytes] = []
    for pixel, _ in counted.most_common():
        if len(palette) < COLOURS and all(_apart(pixel, each) > NEAR for each in palette):
            palette.append(pixel)
    return palette


def _nearest(pixel: bytes, palette: list[bytes]) -> bytes:
    return min(palette, key=lambda each: _apart(pixel, each))


def _apart(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _unfiltered(packed: bytes, stride: int, step: int) -> Iterator[bytearray]:
    """The rows (PNG, 9.2): each byte is told as its difference to those left of it and above it."""
    above = bytearray(stride)
    for at in range(0, len(packed), stride + 1):
        kind, row = packed[at], bytearray(packed[at + 1 : at + 1 + stride])
        for i in range(stride) if kind else ():
            left = row[i - step] if i >= step else 0
            up = above[i]
            corner = above[i - step] if i >= step else 0
            row[i] = (row[i] + (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]) & 255
        yield row
        above = row


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
