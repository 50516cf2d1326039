"""Videos and audio at the rates of the model: 16 frames and 100 mel frames a second, in whole latent frames."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, repeat

import torch
from torch import Tensor

from .audio.mel import PEAK, log_mel, peak_scale, to_model_waveform
from .checks import check_heard, check_one_waveform, check_waveform
from .config import FRAME_RATE, HOP_LENGTH, SAMPLE_RATE, SAMPLES_A_FRAME, latent_frames, pixel_frames
from .media.frames import stacked
from .media.region import Region, clip_images
from .media.track import AudioTrack
from .media.video import Video, frames_shown
from .media.waveforms import fit_audio, mono_at_rate, peak_of
from .tasks import past_tokens

CONTEXT_TOKENS = 2
"""Mel frames around a window, so that its first and last ones hear what really is beyond them."""


def at_model_rate(frames: Tensor, frame_rate: Fraction | float) -> Tensor:
    """Frames (F, H, W, channels) at 16 a second: each is the one that `media.video.shown_at` says.

    Raises:
        ValueError: the frame rate is not positive.
    """
    shown = frames_shown(len(frames), frame_rate)
    return frames if shown == list(range(len(frames))) else frames[torch.tensor(shown)]


def whole_latents(frames: Tensor) -> Tensor:
    """Frames (F, H, W, channels) whose last one is repeated until they fill whole latent frames."""
    missing = pixel_frames(latent_frames(len(frames))) - len(frames)
    return torch.cat((frames, frames[-1:].expand(missing, -1, -1, -1))) if missing else frames


def dubbed_images(video: Video, width: int, height: int) -> Tensor:
    """All frames of a video (4(T-1)+1, height, width, 3), values 0..1, the last one repeated for whole latent frames.

    There may be fewer than the video promises, where its file is damaged.
    """
    return _whole(video.images(width, height), video.frames)


def region_images(video: Video, region: Region, frames: int) -> Tensor:
    """As `dubbed_images`, at most so many frames of a region's crop, of the clip's size."""
    return _whole(clip_images(video, region.window, region.size), min(video.frames, frames))


def past_images(video: Video, past_frames: int, width: int, height: int) -> Tensor:
    """The last frames (4(k-1)+1, height, width, 3) of a video, values 0..1, which become k latent frames.

    Raises:
        ValueError: the video is shorter.
    """
    wanted = pixel_frames(past_frames)
    if video.frames < wanted:
        raise ValueError(
            f"The past lasts {video.frames / FRAME_RATE:.2f} seconds, but {past_frames} past_frames are "
            f"{wanted / FRAME_RATE:.2f} seconds of it: give a longer clip, or keep fewer."
        )
    return _whole(video.images(width, height, video.frames - wanted), wanted, wanted)


def _whole(frames: Iterator[Tensor], count: int, least: int = 1) -> Tensor:
    """At most so many frames (F, H, W, 3), the last one repeated until they fill whole latent frames."""

    def repeating() -> Iterator[Tensor]:
        made, last = 0, None
        for last in islice(frames, count):
            made += 1
            yield last
        if last is not None:
            yield from repeat(last, pixel_frames(latent_frames(max(made, least))) - made)

    return stacked(repeating(), pixel_frames(latent_frames(max(count, least))), compact=True)


def driving_mel(waveform: Tensor, sample_rate: int, tokens: int) -> Tensor:
    """Natural log-mel (1, 1, L, 80) of a whole sound (1, channels, samples), cut or padded with silence to L.

    Its peak is scaled.

    Raises:
        ValueError: the sound is empty, silent or not of numbers, or there are several.
    """
    check_one_waveform("audio", waveform)
    check_waveform("audio", waveform)
    waveform = peak_scale(to_model_waveform(waveform, sample_rate))
    return log_mel(fit_audio(waveform, tokens * HOP_LENGTH)).unsqueeze(1)


def past_mel(track: AudioTrack, frames: int, past_frames: int) -> Tensor:
    """Natural log-mel (1, 1, m, 80) of the sound of a clip's last k latent frames.

    The whole sound has one gain, which scales its peak; no more of it is held than what is wanted.

    Args:
        track: the clip's sound, from its first frame on.
        frames: frames of the whole clip at 16 a second; the sound is cut or padded with silence to them.

    Raises:
        ValueError: the sound is empty, silent or not of numbers.
    """
    past_start, end = (frames - pixel_frames(past_frames)) * SAMPLES_A_FRAME, frames * SAMPLES_A_FRAME
    start = past_start - min(CONTEXT_TOKENS * HOP_LENGTH, past_start)
    waveform, _ = sound_between("audio", track, start, end)
    return mel_window(waveform, past_start - start, past_tokens(past_frames))


def sound_between(name: str, track: AudioTrack, start: int, end: int) -> tuple[Tensor, float]:
    """Samples (1, end - start) at 24 kHz of a sound, and the gain that scales its peak, with which they come.

    The whole sound has one gain; no more of it is held than what is wanted. What is beyond it is silence.

    Args:
        name: of the input.

    Raises:
        ValueError: the sound is empty, silent or not of numbers.
    """
    peak, samples, pieces = 0.0, 0, list[Tensor]()
    for piece in mono_at_rate(track.pieces, track.sample_rate, SAMPLE_RATE):
        peak = peak_of([torch.tensor([peak]), piece])
        wanted = piece[:, max(0, start - samples) : max(0, end - samples)]
        # A copy: what is cut off a piece would be held with it.
        pieces += [wanted.clone()] if wanted.shape[-1] else []
        samples += piece.shape[-1]
    check_heard(name, samples, peak)
    heard = torch.cat(pieces, dim=-1) if pieces else torch.zeros(1, 0)
    return fit_audio(heard, end - start) * (PEAK / peak), PEAK / peak


def mel_window(waveform: Tensor, start: int, tokens: int) -> Tensor:
    """Natural log-mel (1, 1, tokens, 80) of a part of a sound (1, samples) at 24 kHz, as it is in the whole's.

    Args:
        start: sample that the part starts with.
    """
    context = min(CONTEXT_TOKENS, start // HOP_LENGTH)
    first, end = start - context * HOP_LENGTH, start + (tokens + CONTEXT_TOKENS) * HOP_LENGTH
    return log_mel(waveform[:, first:end])[:, context : context + tokens].unsqueeze(1)
