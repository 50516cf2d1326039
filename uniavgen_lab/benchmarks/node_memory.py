"""Memory of nodes: python -m uniavgen_lab.benchmarks.node_memory

Does what UniAVGen Latent, AV Mux, Face Mask, Join and Long Form do beside the models, and prints the most memory that
each took over what it was given (peak resident set), beside its bound. What codecs, detectors and the joint model take
themselves is not part of it. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE, SAMPLES_A_FRAME, pixel_frames
from uniavgen_core.face.choice import largest
from uniavgen_core.face.detection import Face, FaceDetector
from uniavgen_core.face.masks import Search, draw_faces, find_faces
from uniavgen_core.face.shapes import ELLIPSE, Style
from uniavgen_core.face.tracks import Timing
from uniavgen_core.long_form.recording import AudioRecording, VideoRecording
from uniavgen_core.long_form.seams import join_clips
from uniavgen_core.media.copying import plan_copy
from uniavgen_core.media.frames import put_in
from uniavgen_core.media.muxing import join_videos, replace_audio, write_video
from uniavgen_core.media.soundtrack import soundtrack, soundtrack_pieces
from uniavgen_core.media.video import VideoFile
from uniavgen_core.media.waveforms import PIECE_SAMPLES, fit_audio, mono_at_rate
from uniavgen_core.model_rates import dubbed_images, past_images, past_mel
from uniavgen_core.tasks import PAST_FRAMES

from .processes import RETURN_AT_ONCE, forget_peak, peak_bytes
from .reading_memory import windows, write_test_video

MODULE = "uniavgen_lab.benchmarks.node_memory"
RATE, AUDIO_RATE, CHANNELS = 25, 48_000, 2
CLIP_SECONDS = 5
"""Of the clip that longer videos are put together of, and of what goes on in Join."""
WINDOW_FRAMES = 81
"""Of a segment in Long Form."""
FLOAT, HALF = 4, 2

DECODER = 64
"""Bytes for each pixel of a video's frame: a few frames in a few forms."""
ENCODER = 160
"""Bytes for each pixel of a picture that is encoded: the frames that H.264's encoder looks ahead to."""
PACKET = 640
"""Bytes for each packet of a picture that is copied or planned: its times, in Python's numbers."""
SAMPLE_COPIES = 16
"""Copies of a piece of sound that are held while it is mixed, resampled, measured and encoded."""
BASE = 48e6
"""Libraries at their first use, the encoder, and what the allocator keeps."""


@dataclass(frozen=True)
class InputSize:
    """What a node is given: a picture's size in pixels, and seconds of it or of a sound."""

    width: int
    height: int
    seconds: int

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def frames(self) -> int:
        """At the model's rate."""
        return self.seconds * FRAME_RATE

    def video(self, folder: Path) -> Path:
        """A video file of it with a sound."""
        path = folder / "given.mp4"
        write_given(self, path)
        return path

    def audio(self) -> Tensor:
        """Noise (1, 2, samples)."""
        samples = self.seconds * AUDIO_RATE
        generator = torch.Generator().manual_seed(0)
        return torch.empty(1, CHANNELS, samples).uniform_(-0.1, 0.1, generator=generator)

    def images(self) -> Tensor:
        return torch.rand(self.frames, self.height, self.width, 3, generator=torch.Generator().manual_seed(0))


def write_given(given: InputSize, path: Path) -> None:
    """A video in which everything moves for a few seconds, again and again, with a silent sound."""
    clip = path.with_name("clip.mp4")
    write_test_video(clip, given.width, given.height, RATE, min(CLIP_SECONDS, given.seconds))
    silence = (torch.full((1, AUDIO_RATE), 0.1) for _ in range(given.seconds))
    join_videos([clip] * max(1, given.seconds // CLIP_SECONDS), path, silence, AUDIO_RATE)


def dub(given: InputSize, folder: Path) -> Callable[[], object]:
    path = given.video(folder)
    return lambda: dubbed_images(VideoFile(path), given.width, given.height)


def continue_video(given: InputSize, folder: Path) -> Callable[[], object]:
    path = given.video(folder)

    def run() -> None:
        video = VideoFile(path)
        past_images(video, PAST_FRAMES, given.width, given.height)
        with video.track() as track:
            assert track is not None
            past_mel(track, video.frames, PAST_FRAMES)

    return run


def mux_file(given: InputSize, folder: Path) -> Callable[[], object]:
    path, waveform = given.video(folder), given.audio()

    def run() -> None:
        plan = plan_copy(path)
        pieces = soundtrack_pieces(waveform, AUDIO_RATE, plan.seconds, -16.0, 0.5)
        replace_audio(path, folder / "made.mp4", pieces, AUDIO_RATE, plan, channels=CHANNELS)

    return run


def mux_still(given: InputSize, folder: Path) -> Callable[[], object]:
    waveform = given.audio()
    image = torch.rand(1, given.height, given.width, 3)

    def run() -> None:
        pieces = soundtrack_pieces(waveform, AUDIO_RATE, None, -16.0, 0.5)
        held = given.frames - 1
        write_video(folder / "made.mp4", image, FRAME_RATE, pieces, AUDIO_RATE, held, channels=CHANNELS)

    return run


def mux_frames(given: InputSize, folder: Path) -> Callable[[], object]:
    waveform = given.audio()
    return lambda: soundtrack(waveform, AUDIO_RATE, Fraction(given.seconds), -16.0, 0.5)


class _OneFace(FaceDetector):
    """Always finds the same face."""

    def detect(self, image: NDArray[numpy.uint8]) -> list[Face]:
        return [Face(numpy.array([10, 10, 50, 60], numpy.float32), numpy.full((5, 2), 30, numpy.float32), 0.9)]


def mask_faces(given: InputSize, folder: Path) -> Callable[[], object]:
    images = given.images()

    def run() -> Tensor:
        search = Search(largest, Timing.of_seconds(1.0, 0.4, FRAME_RATE))
        found = find_faces(images, _OneFace(), search, print_nothing)
        return draw_faces(images, found.chosen, Style(ELLIPSE, 0.1, 0.1), print_nothing)

    return run


def print_nothing(done: int) -> None:
    """Progress that nobody looks at."""


def join(given: InputSize, folder: Path) -> Callable[[], object]:
    path = given.video(folder)
    following = InputSize(given.width, given.height, CLIP_SECONDS).images()
    shared = pixel_frames(PAST_FRAMES)

    def run() -> Tensor:
        video = VideoFile(path)
        room = torch.empty(video.frames + len(following) - shared, given.height, given.width, 3)
        past = put_in(room, video.images(given.width, given.height))
        with video.track() as track:
            assert track is not None
            pieces = [*mono_at_rate(track.pieces, track.sample_rate, SAMPLE_RATE)]
        heard = fit_audio(torch.cat(pieces, dim=-1)[0], len(past) * SAMPLES_A_FRAME)
        waveform = torch.rand(len(following) * SAMPLES_A_FRAME)
        return join_clips(past, heard, following, waveform, shared, room)[0]

    return run


def work_along_audio(given: InputSize, folder: Path) -> Callable[[], object]:
    waveform = given.audio()

    def run() -> None:
        recording = AudioRecording(waveform, AUDIO_RATE)
        for start, latent_frames in windows(recording.frames):
            recording.given(start, latent_frames)
        for _ in recording.track().pieces:
            pass

    return run


def work_along_video(given: InputSize, folder: Path) -> Callable[[], object]:
    path = given.video(folder)

    def made() -> Iterator[Tensor]:
        for _ in range(given.seconds):
            yield torch.rand(1, SAMPLE_RATE)

    def run() -> None:
        recording = VideoRecording(VideoFile(path), given.width, given.height)
        for start, latent_frames in windows(given.frames):
            recording.given(start, latent_frames)
        recording.close()
        replace_audio(path, folder / "made.mp4", made(), SAMPLE_RATE)

    return run


def _piece(channels: int) -> int:
    return SAMPLE_COPIES * PIECE_SAMPLES * channels * FLOAT


def _decoding(given: InputSize) -> int:
    return DECODER * given.pixels


def _packets(given: InputSize) -> int:
    return PACKET * RATE * given.seconds


def _image(given: InputSize) -> int:
    """A frame as ComfyUI has it."""
    return 3 * FLOAT * given.pixels


@dataclass(frozen=True)
class Case:
    """A node at work: `prepare` makes what it is given, and what it gives back does the work."""

    prepare: Callable[[InputSize, Path], Callable[[], object]]
    bound: Callable[[InputSize], float]
    """Bytes beside `BASE`, the result included, what is given not."""
    quick: InputSize
    full: InputSize


CASES = {
    "Latent, dubbing": Case(
        dub,
        lambda given: (given.frames + 4) * 3 * HALF * given.pixels + _decoding(given),
        InputSize(320, 192, 5),
        InputSize(1280, 736, 5),
    ),
    "Latent, continuation": Case(
        continue_video,
        lambda given: pixel_frames(PAST_FRAMES) * 3 * HALF * given.pixels + _decoding(given) + _piece(1),
        InputSize(320, 192, 60),
        InputSize(640, 384, 1800),
    ),
    "AV Mux, a file": Case(
        mux_file, lambda given: _packets(given) + _piece(CHANNELS), InputSize(320, 192, 120), InputSize(640, 384, 1800)
    ),
    "AV Mux, a still held": Case(
        mux_still,
        lambda given: ENCODER * given.pixels + _piece(CHANNELS),
        InputSize(320, 192, 120),
        InputSize(1280, 736, 1800),
    ),
    "AV Mux, frames: their sound": Case(
        mux_frames,
        lambda given: given.seconds * AUDIO_RATE * CHANNELS * FLOAT + _piece(CHANNELS),
        InputSize(0, 0, 120),
        InputSize(0, 0, 1800),
    ),
    "Face Mask": Case(
        mask_faces,
        lambda given: given.frames * FLOAT * given.pixels + 4 * _image(given),
        InputSize(320, 192, 5),
        InputSize(1280, 736, 5),
    ),
    "Join": Case(
        join,
        lambda given: (
            (given.frames + 3 * CLIP_SECONDS * FRAME_RATE) * _image(given)
            + _decoding(given)
            + 4 * given.seconds * SAMPLE_RATE * FLOAT
            + _piece(1)
        ),
        InputSize(320, 192, 10),
        InputSize(640, 384, 20),
    ),
    "Long Form, a sound": Case(
        work_along_audio, lambda given: _piece(CHANNELS), InputSize(0, 0, 300), InputSize(0, 0, 1800)
    ),
    "Long Form, a video": Case(
        work_along_video,
        lambda given: (
            WINDOW_FRAMES * (_image(given) + 3 * given.pixels) + _decoding(given) + _packets(given) + _piece(1)
        ),
        InputSize(320, 192, 60),
        InputSize(640, 384, 1800),
    ),
}


def measure(name: str, quick: bool) -> dict[str, float]:
    """The most bytes that a node took over what it was given, and its bound."""
    case = CASES[name]
    given = case.quick if quick else case.full
    with tempfile.TemporaryDirectory() as folder:
        run = case.prepare(given, Path(folder))
        forget_peak()
        start = peak_bytes()
        made = run()
        taken = peak_bytes() - start
        del made
    return {"seconds": given.seconds, "pixels": given.pixels, "bytes": taken, "bound": BASE + case.bound(given)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small pictures and short sounds")
    parser.add_argument("--case", choices=CASES, action="append", help="do this one; may be given again")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print all rows as JSON on the last line")
    arguments = parser.parse_args()
    if not arguments.here:
        # The C library obeys its settings from the start of a process on.
        os.execve(sys.executable, [sys.executable, "-m", MODULE, *sys.argv[1:], "--here"], os.environ | RETURN_AT_ONCE)
    rows = dict[str, dict[str, float]]()
    print(f"{'node':28} seconds   pixels  MB taken  MB at most")
    for name in arguments.case or CASES:
        rows[name] = row = measure(name, arguments.quick)
        size, taken, bound = row["pixels"], row["bytes"] / 1e6, row["bound"] / 1e6
        print(f"{name:28} {row['seconds']:7.0f}  {size:7.0f}  {taken:8.0f}  {bound:10.0f}", flush=True)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
