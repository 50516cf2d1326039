"""H.264 as MP4 and Matroska hold it: its header (avcC, ISO/IEC 14496-15) and the units of its packets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

START_CODE = re.compile(rb"\x00\x00\x00?\x01")
WHOLE_FRAME, SEQUENCE, PICTURE, FILLER = 5, 7, 8, 12
"""Kinds of units: a frame that needs no other one, both kinds of parameter sets, and padding."""
HIGH = 100
"""Number of the profile from which on a header says more of the picture's form."""
PLAIN_FORM = bytes((0xFD, 0xF8, 0xF8, 0))
"""What it says of 4:2:0 in eight bits."""
IDS = 32
"""Parameter sets of sequences that may be told apart."""


@dataclass(frozen=True)
class AvcHeader:
    """An avcC.

    Args:
        profile, compatibility, level: numbers of H.264.
        length_size: bytes that say how long a unit of a packet is.
        sequences, pictures: parameter sets.
        form: what high profiles say of the picture's form.
    """

    profile: int
    compatibility: int
    level: int
    length_size: int
    sequences: tuple[bytes, ...]
    pictures: tuple[bytes, ...]
    form: bytes = b""

    @classmethod
    def read(cls, data: bytes) -> AvcHeader | None:
        """The header of a stream; None where it has another one, or a damaged one."""
        if len(data) < 7 or data[0] != 1:
            return None
        position, found = 5, list[tuple[bytes, ...]]()
        for mask in (0x1F, 0xFF):
            if position >= len(data):
                return None
            count, units = data[position] & mask, list[bytes]()
            position += 1
            for _ in range(count):
                size = int.from_bytes(data[position : position + 2], "big")
                units.append(data[position + 2 : position + 2 + size])
                position += 2 + size
            found.append(tuple(units))
        if position > len(data) or not all(map(len, (*found[0], *found[1]))) or not found[0]:
            return None
        return cls(data[1], data[2], data[3], (data[4] & 3) + 1, found[0], found[1], data[position:])

    def to_bytes(self) -> bytes:
        parts = [bytes((1, self.profile, self.compatibility, self.level, 0xFC | self.length_size - 1))]
        for mark, units in ((0xE0, self.sequences), (0, self.pictures)):
            parts.append(bytes((mark | len(units),)))
            parts += [len(unit).to_bytes(2, "big") + unit for unit in units]
        return b"".join(parts) + self.form

    def free_id(self) -> int | None:
        """A number below 32 that no parameter set has, of either kind; None where all are taken."""
        taken = {_unsigned(unit[4:]) for unit in self.sequences} | {_unsigned(unit[1:]) for unit in self.pictures}
        return next((number for number in range(IDS) if number not in taken), None)

    def with_sets(self, units: Sequence[bytes]) -> AvcHeader:
        """The header of a stream that goes over to other parameter sets now and then."""
        sequences = tuple(unit for unit in units if _kind(unit) == SEQUENCE)
        profile = max(self.profile, *(unit[1] for unit in sequences))
        return replace(
            self,
            profile=profile,
            compatibility=min(self.compatibility, *(unit[2] for unit in sequences)),
            level=max(self.level, *(unit[3] for unit in sequences)),
            sequences=self.sequences + sequences,
            pictures=self.pictures + tuple(unit for unit in units if _kind(unit) == PICTURE),
            form=self.form or (PLAIN_FORM if profile >= HIGH else b""),
        )

    def units(self, packet: bytes) -> Iterator[bytes]:
        """The units of a packet."""
        position = 0
        while position + self.length_size < len(packet):
            start = position + self.length_size
            position = start + int.from_bytes(packet[position:start], "big")
            yield packet[start:position]

    def starts_anew(self, packet: bytes) -> bool:
        """Whether a packet holds a frame that neither it nor what follows needs anything before."""
        return any(_kind(unit) == WHOLE_FRAME for unit in self.units(packet) if unit)

    def packed(self, units: Iterable[bytes]) -> bytes:
        """Units as a packet."""
        return b"".join(len(unit).to_bytes(self.length_size, "big") + unit for unit in units)


def units_of_stream(data: bytes) -> list[bytes]:
    """The units of a stream in which start codes part them (Annex B)."""
    return [unit.rstrip(b"\0") for unit in START_CODE.split(data) if unit]


def is_picture_unit(unit: bytes) -> bool:
    """Whether a unit is no parameter set and no padding."""
    return _kind(unit) not in (SEQUENCE, PICTURE, FILLER)


def _kind(unit: bytes) -> int:
    return unit[0] & 0x1F


def _unsigned(data: bytes) -> int:
    """The number with which bytes begin, in the code of Exp-Golomb (H.264, 9.1)."""
    bits = "".join(f"{byte:08b}" for byte in data[:8])
    zeros = len(bits) - len(bits.lstrip("0"))
    return int(bits[zeros : 2 * zeros + 1] or "1", 2) - 1
