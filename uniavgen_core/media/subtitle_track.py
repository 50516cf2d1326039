"""Subtitles as a track of an MP4 file, which players show when they are asked to (3GPP timed text, `mov_text`).

PyAV writes no such track by itself before 16.1, but copies one of a file that it reads. So the track is copied from an
MP4 file that holds nothing else, and its packets are made here: two bytes of length, and the text (3GPP TS 26.245).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av import Packet
from av.container import OutputContainer
from av.subtitles.stream import SubtitleStream

from .cues import Cue

TICK = Fraction(1, 1000)
LONGEST_TEXT = 2**16 - 1
"""Bytes of a cue."""
FONT_SIZE = 18
"""In a picture of the track's size, which players scale to the video's."""
BOTTOM_CENTRE = (1, -1)
"""Where text stands: horizontally in the middle, vertically at the end."""
MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
UNDETERMINED = 0x55C4
"""The language `und`, five bits a letter."""


def add_subtitles(output: OutputContainer, cues: Iterable[Cue]) -> Iterator[Packet]:
    """Add a track of subtitles to an MP4 file, and give its packets.

    Args:
        cues: in order, none of which begins before the last one has ended.
    """
    with av.open(io.BytesIO(_empty_file()), "r", format="mp4") as template:
        track: SubtitleStream = output.add_stream_from_template(template.streams.subtitles[0], opaque=True)
    return _packets(track, list(cues))


def _packets(track: SubtitleStream, cues: Iterable[Cue]) -> Iterator[Packet]:
    for cue in cues:
        start, end = (round(seconds / TICK) for seconds in (cue.start, cue.end))
        if end <= start:
            continue
        text = cue.text.encode(errors="replace")[:LONGEST_TEXT].decode(errors="ignore").encode()
        packet = Packet(len(text).to_bytes(2, "big") + text)
        packet.stream, packet.time_base = track, TICK
        packet.pts = packet.dts = start
        packet.duration, packet.is_keyframe = end - start, True
        yield packet


def _empty_file() -> bytes:
    """An MP4 file (ISO 14496-12) of one track of timed text, in which nothing is shown."""
    entry = bytes(6) + struct.pack(">H", 1) + _text_style()
    tables = _full("stsd", struct.pack(">I", 1) + _box("tx3g", entry))
    tables += b"".join(_full(name, bytes(4)) for name in ("stts", "stsc", "stco")) + _full("stsz", bytes(8))
    here = _full("url ", b"", flags=1)
    media = _full("nmhd") + _box("dinf", _full("dref", struct.pack(">I", 1) + here)) + _box("stbl", tables)
    header = struct.pack(">4I2H", 0, 0, TICK.denominator, 0, UNDETERMINED, 0)
    handler = bytes(4) + b"sbtl" + bytes(12) + b"Subtitles\0"
    track = struct.pack(">5I", 0, 0, 1, 0, 0) + bytes(16) + MATRIX + bytes(8)
    movie = struct.pack(">4I", 0, 0, TICK.denominator, 0) + struct.pack(">IH", 0x10000, 0x100) + bytes(10) + MATRIX
    return _box("ftyp", b"isom" + bytes(4) + b"isom") + _box(
        "moov",
        _full("mvhd", movie + bytes(24) + struct.pack(">I", 2))
        + _box(
            "trak",
            _full("tkhd", track, flags=3)
            + _box("mdia", _full("mdhd", header) + _full("hdlr", handler) + _box("minf", media)),
        ),
    )


def _text_style() -> bytes:
    """How text looks where a player follows it: white on nothing, at the bottom."""
    display = struct.pack(">I2b4B4H", 0, *BOTTOM_CENTRE, 0, 0, 0, 0, 0, 0, 0, 0)
    style = struct.pack(">3H2B4B", 0, 0, 1, 0, FONT_SIZE, 255, 255, 255, 255)
    font = b"Sans-Serif"
    return display + style + _box("ftab", struct.pack(">2HB", 1, 1, len(font)) + font)


def _box(name: str, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name.encode() + content


def _full(name: str, content: bytes = b"", flags: int = 0) -> bytes:
    """A box with a version and flags."""
    return _box(name, struct.pack(">I", flags) + content)
