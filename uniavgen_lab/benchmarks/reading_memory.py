"""Memory of what users give: python -m uniavgen_lab.benchmarks.reading_memory

Reads videos of 5 seconds, of several sizes and rates, as UniAVGen Latent does for dubbing, and a sound as UniAVGen Long
Form does for a recording, each in a process of its own, and prints the most memory that each took over the start (peak
resident set), and what was read. Of the sound, what is said is over the sound itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE
from uniavgen_core.long_form.recording import AudioRecording
from uniavgen_core.media.images import automatic_size
from uniavgen_core.media.video import VideoFile
from uniavgen_core.model_rates import dubbed_images

from .processes import in_own_process, peak_bytes

QUICK = ("640x360@30", "1280x720@25", "1920x1080@60")
SLOW = ("1920x1080@120", "3840x2160@30", "3840x2160@60")
SECONDS = 5
AUDIO_MINUTES, LONG_AUDIO_MINUTES = 5, 60
AUDIO_RATE, AUDIO_CHANNELS = 44_100, 2
WINDOW_LATENT_FRAMES = 21


def write_test_video(path: Path, width: int, height: int, rate: int, seconds: int) -> None:
    """A video in which everything moves."""
    down, across = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "bf": "2"}
        for index in range(rate * seconds):
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane in frame.planes:
                shrunk = width // plane.width
                moving = (down[::shrunk, ::shrunk] + across[::shrunk, ::shrunk] + 3 * index).astype(np.uint8)
                padded = np.pad(moving, ((0, 0), (0, plane.line_size - plane.width)))
                plane.update(padded.tobytes())
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def read_form(form: str) -> dict[str, float]:
    """Make and read a video of a form such as 640x360@30: frames given to the VAE, and bytes over the start."""
    size, _, rate = form.partition("@")
    width, height = map(int, size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        # In another process, so that this one's peak is of reading.
        subprocess.run(
            [sys.executable, "-m", "uniavgen_lab.benchmarks.reading_memory", "--write", form, str(path)], check=True
        )
        # What the first use of a kernel takes is not the video's.
        torch.nn.functional.interpolate(torch.zeros(1, 3, 8, 8), (4, 4), mode="bicubic", antialias=True)
        start = peak_bytes()
        video = VideoFile(path)
        frames = dubbed_images(video, *automatic_size(*video.size))
        return {
            "read": len(frames),
            "bytes": peak_bytes() - start,
            "seconds": len(frames) / FRAME_RATE,
            "rate": int(rate),
        }


def read_waveform(minutes: int) -> dict[str, float]:
    """Work along a sound as Long Form does: segments, and bytes over the start and the sound itself."""
    generator = torch.Generator().manual_seed(0)
    waveform = torch.empty(1, AUDIO_CHANNELS, minutes * 60 * AUDIO_RATE).uniform_(-0.1, 0.1, generator=generator)
    AudioRecording(waveform[..., :AUDIO_RATE], AUDIO_RATE).given(0, 2)
    start = peak_bytes()
    recording = AudioRecording(waveform, AUDIO_RATE)
    segments = sum(recording.given(*window)[1] is not None for window in windows(recording.frames))
    track = recording.track()
    heard = sum(piece.shape[-1] for piece in track.pieces) / track.sample_rate
    return {"read": segments, "bytes": peak_bytes() - start, "seconds": heard, "rate": SAMPLE_RATE}


def windows(frames: int) -> Iterator[tuple[int, int]]:
    """Where the segments of a long clip begin, and their latent frames."""
    for start in range(0, frames, 4 * (WINDOW_LATENT_FRAMES - 1)):
        yield start, WINDOW_LATENT_FRAMES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="larger videos, and an hour of sound, too")
    parser.add_argument("--form", help="read one video, such as 1920x1080@60, in this process")
    parser.add_argument("--minutes", type=int, help="read a sound of so many minutes in this process")
    parser.add_argument("--write", nargs=2, metavar=("FORM", "PATH"), help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print all rows as JSON on the last line")
    arguments = parser.parse_args()
    if arguments.write:
        form, path = arguments.write
        width, height, rate = map(int, form.replace("@", "x").split("x"))
        write_test_video(Path(path), width, height, rate, SECONDS)
        return
    if arguments.form or arguments.minutes:
        print(json.dumps(read_form(arguments.form) if arguments.form else read_waveform(arguments.minutes)))
        return
    minutes = LONG_AUDIO_MINUTES if arguments.all else AUDIO_MINUTES
    rows = {
        form: in_own_process("reading_memory", "--form", form) for form in (*QUICK, *(SLOW if arguments.all else ()))
    }
    rows[f"{minutes} min of sound"] = in_own_process("reading_memory", "--minutes", str(minutes))
    print("given             seconds    read  MB over the start")
    for name, row in rows.items():
        print(f"{name:16}  {row['seconds']:7.2f}  {row['read']:6.0f}  {row['bytes'] / 1e6:17.0f}")
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
