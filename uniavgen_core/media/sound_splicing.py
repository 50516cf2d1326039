"""A file's sound with a stretch of it replaced: packets of AAC that hold none of it are copied as they are.

A frame of AAC overlaps with its neighbours: what is heard of it follows from its own packet and the one before. Where
packets of two encoders meet, one frame is of neither. It lies beside the stretch, where both say the same, and of a few
such frames the one is taken in which least is heard of it; all others are the own ones of the file, sample by sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import torch
from av import AudioStream, Packet
from av.container import InputContainer, OutputContainer
from torch import Tensor

from .container import Check, Source, audio_stream, never_stop, opened, packets_of
from .copying import CopyPlan, Nowhere
from .encoding import add_audio, audio_packets, is_aac_form
from .waveforms import fit_audio

FRAME_SAMPLES = 1024
"""Of a packet of AAC."""
CHOICES = 12
"""Frames beside a stretch of which one is where two encoders meet."""
BEFORE = 3
"""Packets that a decoder or an encoder is given before one of which the outcome counts."""
LOUDEST_ERROR = 0.1
"""Of the frame where two encoders meet, against the sound there or a soft noise; a louder one is no cut."""
SOFT = 0.01


@dataclass(frozen=True)
class SoundSplice:
    """How the packets of a file's sound get into another one.

    Args:
        start: the first packet's time, in samples from where the picture starts.
        first: the first of the packets that are encoded anew.
        end: the one behind the last; None: all to the end are.
        new: the packets in their place.
        samples: of the sound, from where the picture starts; None: as the file has it.
    """

    start: int
    first: int = 0
    end: int | None = 0
    new: Sequence[bytes] = ()
    samples: int | None = None


def splice_sound(
    source: Source,
    plan: CopyPlan,
    pieces: Iterable[Tensor],
    seconds: tuple[Fraction, Fraction] | None,
    check: Check = never_stop,
) -> SoundSplice | str:
    """Find the packets of a file's sound that are copied, and encode the others.

    Args:
        plan: of the file's picture.
        pieces: of the whole sound as it is to be, (channels, samples) at the file's rate from where the picture starts;
            read to a little behind the stretch.
        seconds: between which it is another one than the file's; None: nowhere.

    Returns:
        Them, or why all must be encoded anew, as the end of a sentence.

    Raises:
        FileNotFoundError, ValueError: the file is not there or damaged.
    """
    with opened(source) as container:
        stream = audio_stream(container)
        if stream is None or (why := _why_not_copied(container, stream, plan)):
            return "the file has none" if stream is None else str(why)
        rate, channels = stream.rate, stream.layout.nb_channels
        origin = round((plan.origin or 0) * rate)
        edges = (0, 0) if seconds is None else tuple(round(second * rate) for second in seconds)
        times, near = _read_packets(container, stream, origin, edges, check)
        if not times or any(time != times[0] + index * FRAME_SAMPLES for index, time in enumerate(times)):
            return "its packets do not follow each other"
        if seconds is None:
            return SoundSplice(times[0])
        return _Cut(stream, times[0], len(times), near, (edges[0], edges[1])).splice(pieces, rate, channels)


def _why_not_copied(container: InputContainer, stream: AudioStream, plan: CopyPlan) -> str | None:
    context = stream.codec_context
    if plan.origin is None or plan.start or plan.held or len(plan.offsets) > 1 or plan.why_encoded == "it is trimmed":
        return "it is trimmed, or its times are mended"
    if context.codec.canonical_name != "aac" or "mp4" not in container.format.name:
        return "only AAC in MP4 is copied"
    if not is_aac_form(stream.layout.nb_channels, stream.rate) or stream.time_base != Fraction(1, stream.rate):
        return "it is of an unusual form"
    with av.open(Nowhere(), "w", format="mp4") as nowhere:
        ours = add_audio(nowhere, stream.layout.nb_channels, stream.rate)
        ours.codec_context.open()
        # Kind of AAC, rate and channels are said in two bytes.
        if bytes(ours.codec_context.extradata or b"")[:2] != bytes(context.extradata or b"")[:2]:
            return "it is of another kind of AAC"
    return None


def _read_packets(
    container: InputContainer, stream: AudioStream, origin: int, edges: Sequence[int], check: Check
) -> tuple[list[int], dict[int, bytes]]:
    """Times of all packets in samples from where the picture starts, and by their index those near the edges."""
    times, near = list[int](), dict[int, bytes]()
    reach = (CHOICES + BEFORE + 2) * FRAME_SAMPLES
    for packet in packets_of(container, check, stream):
        if not packet.size:
            continue
        time = (packet.pts if packet.pts is not None else -1) - origin
        if any(abs(time - edge) <= reach for edge in edges):
            near[len(times)] = bytes(packet)
        times.append(time)
    return times, near


class _Cut:
    """Where packets of both encoders meet around a stretch.

    Args:
        stream: whose packets are copied.
        start: the first packet's time in samples.
        count: of packets.
        near: those around the edges, by their index.
        edges: samples between which the sound is another one.
    """

    def __init__(
        self, stream: AudioStream, start: int, count: int, near: Mapping[int, bytes], edges: tuple[int, int]
    ) -> None:
        self.stream, self.start, self.count, self.near = stream, start, count, near
        last_before = (edges[0] - start) // FRAME_SAMPLES - 1
        first_behind = -(-(edges[1] - start) // FRAME_SAMPLES)
        # The sound may end before the picture, and before the stretch.
        self.firsts = range(max(BEFORE, last_before - CHOICES + 1), min(last_before, count - 1) + 1)
        self.is_behind = last_before - CHOICES + 1 >= count
        self.ends = range(first_behind, min(first_behind + CHOICES, count - 1))

    def splice(self, pieces: Iterable[Tensor], rate: int, channels: int) -> SoundSplice | str:
        if self.is_behind:
            return "it ends before the new sound begins"
        base = self.firsts.start - BEFORE if self.firsts else 0
        if not self.firsts and self.start > -FRAME_SAMPLES:
            return "the new sound begins with it"
        origin = self.start + base * FRAME_SAMPLES
        end = self.start + (self.ends.stop + BEFORE) * FRAME_SAMPLES if self.ends else None
        target, samples = _between(pieces, channels, origin, end)
        new = _encoded(target, rate, base)

        def error(before: Mapping[int, bytes], behind: Mapping[int, bytes], index: int) -> float:
            """How much of what is heard of a packet, the first of its encoder, is not the sound."""
            group = [*(before[number] for number in range(index - BEFORE, index)), behind[index]]
            first = (index - base) * FRAME_SAMPLES
            wanted = target[:, first : first + FRAME_SAMPLES]
            heard = _decoded(self.stream, group)
            if heard is None or heard.shape != wanted.shape:
                return math.inf
            return float((heard - wanted).square().mean().sqrt() / (wanted.square().mean().sqrt() + SOFT))

        errors = {index: error(self.near, new, index) for index in self.firsts}
        first = min(errors, key=lambda index: errors[index], default=0)
        end_errors = {index: error(new, self.near, index) for index in self.ends}
        last = min(end_errors, key=lambda index: end_errors[index], default=None)
        if max(errors.get(first, 0.0), 0.0 if last is None else end_errors[last]) > LOUDEST_ERROR:
            return "it cannot be cut without a noise"
        behind = max(new) + 1 if last is None else last
        # The encoder's own padding is no part of the sound.
        behind = behind if samples is None else min(behind, -(-(samples - self.start) // FRAME_SAMPLES))
        return SoundSplice(self.start, first, last, [new[index] for index in range(first, behind)], samples)


def _between(pieces: Iterable[Tensor], channels: int, start: int, end: int | None) -> tuple[Tensor, int | None]:
    """Samples (channels, end - start) of a sound, silence before it; to its end, and its length, where end is None."""
    position, found = 0, [torch.zeros(channels, max(0, -start))]
    for piece in pieces:
        wanted = piece[:, max(0, start - position) : None if end is None else max(0, end - position)]
        found += [wanted.clone()] if wanted.shape[-1] else []
        position += piece.shape[-1]
        if end is not None and position >= end:
            break
    joined = torch.cat(found, dim=-1)
    return (joined, position) if end is None else (fit_audio(joined, end - start), None)


def _encoded(target: Tensor, rate: int, base: int) -> dict[int, bytes]:
    """Packets of a sound (channels, samples) by their index, of which `base` is heard at its first sample."""
    with av.open(Nowhere(), "w", format="mp4") as nowhere:
        stream = add_audio(nowhere, len(target), rate)
        packets = [*audio_packets(stream, [target], rate)]
    return {base + (packet.pts or 0) // FRAME_SAMPLES: bytes(packet) for packet in packets if packet.size}


def _decoded(stream: AudioStream, packets: Sequence[bytes]) -> Tensor | None:
    """What is heard of the last of some packets, (channels, samples)."""
    context = av.CodecContext.create("aac", "r")
    context.extradata = stream.codec_context.extradata
    context.sample_rate, context.layout = stream.rate, stream.layout
    try:
        frames = [context.decode(Packet(data)) for data in packets]
    except av.FFmpegError:
        return None
    return torch.from_numpy(frames[-1][-1].to_ndarray()).float() if frames[-1] else None


def spliced_sound_packets(
    container: InputContainer, output: OutputContainer, splice: SoundSplice, check: Check = never_stop
) -> Iterator[Packet]:
    """Add a file's sound to an MP4 file, and give its packets, with those of a splice in their places."""
    stream = cast(AudioStream, audio_stream(container))
    copy = output.add_stream_from_template(stream, opaque=True)
    return _placed_packets(container, stream, copy, splice, check)


def _placed_packets(
    container: InputContainer, stream: AudioStream, copy: AudioStream, splice: SoundSplice, check: Check
) -> Iterator[Packet]:
    filled = (packet for packet in packets_of(container, check, stream) if packet.size)

    def placed(packet: Packet, index: int, duration: int) -> Packet:
        packet.pts = packet.dts = splice.start + index * FRAME_SAMPLES
        packet.duration, packet.time_base, packet.stream = duration, Fraction(1, stream.rate), copy
        return packet

    def new_packets() -> Iterator[Packet]:
        for index, data in enumerate(splice.new, splice.first):
            packet = Packet(data)
            packet.is_keyframe = True
            left = FRAME_SAMPLES if splice.samples is None else splice.samples - splice.start - index * FRAME_SAMPLES
            yield placed(packet, index, min(FRAME_SAMPLES, left))

    for index, packet in enumerate(filled):
        if index == splice.first:
            yield from new_packets()
        if index < splice.first or (splice.end is not None and index >= splice.end):
            yield placed(packet, index, packet.duration or FRAME_SAMPLES)
        elif splice.end is None:
            return
