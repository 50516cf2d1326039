"""Media files as people bring them, made with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

LEVELS_A_FRAME = 4
"""By which each frame of a counting picture is brighter than the one before, from `DARKEST` on."""
DARKEST, LEVELS = 20, 50


def counting_picture(index: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """A grey picture whose brightness tells its number, up to fifty."""
    return np.full((size[1], size[0], 3), DARKEST + LEVELS_A_FRAME * (index % LEVELS), np.uint8)


def write_pictures(
    path: Path,
    ticks: Iterable[int],
    rate: int = 30,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 64),
    options: dict[str, str] | None = None,
    set_up: Callable[[av.VideoStream], None] = lambda stream: None,
    sound: np.ndarray | None = None,
    sample_rate: int = 24_000,
) -> Path:
    """Counting pictures at these ticks of 1/rate seconds, and a sound (channels, samples) beside them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        stream.options = options or {}
        set_up(stream)
        heard = None
        if sound is not None:
            heard = container.add_stream("aac", rate=sample_rate, layout={1: "mono", 2: "stereo"}[len(sound)])
        for tick in ticks:
            frame = av.VideoFrame.from_ndarray(counting_picture(tick, size))
            frame.pts, frame.time_base = tick, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if heard is not None and sound is not None:
            for packet in audio_packets(heard, sound, sample_rate):
                container.mux(packet)
    return path


def audio_packets(stream: av.AudioStream, sound: np.ndarray, sample_rate: int) -> list[av.Packet]:
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(sound, np.float32), format="fltp", layout={1: "mono", 2: "stereo"}[len(sound)]
    )
    frame.sample_rate, frame.pts, frame.time_base = sample_rate, 0, Fraction(1, sample_rate)
    return [*stream.encode(frame), *stream.encode(None)]


def copied(
    source: Path,
    target: Path,
    change: Callable[[av.Packet, int], av.Packet | None] = lambda packet, index: packet,
) -> Path:
    """Copy all packets into another file; each may be changed or left out, by its index in its stream."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        copies = {stream.index: writer.add_stream_from_template(stream) for stream in reader.streams}
        counts = dict.fromkeys(copies, 0)
        for packet in reader.demux():
            if packet.dts is None:
                continue
            index = packet.stream.index
            changed, counts[index] = change(packet, counts[index]), counts[index] + 1
            if changed is not None:
                changed.stream = copies[index]
                writer.mux_one(changed)
    return target


def garbled(packet: av.Packet) -> av.Packet:
    """A packet of the same times and length whose bytes are noise."""
    noise = np.random.default_rng(0).integers(0, 256, packet.size, np.uint8).tobytes()
    broken = av.Packet(b"\xff\xff" + noise[2:])
    broken.pts, broken.dts, broken.duration, broken.time_base = (
        packet.pts,
        packet.dts,
        packet.duration,
        packet.time_base,
    )
    broken.is_keyframe = packet.is_keyframe
    return broken


def numbers(frames: Sequence[np.ndarray]) -> list[int]:
    """Which counting pictures these frames (height, width, 3) of bytes are."""
    return [round((float(np.mean(frame)) - DARKEST) / LEVELS_A_FRAME) for frame in frames]


def tone(seconds: float, sample_rate: int = 24_000, channels: int = 1, hertz: float = 220.0) -> np.ndarray:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return np.repeat(0.4 * np.sin(2 * np.pi * hertz * time)[None], channels, axis=0).astype(np.float32)
