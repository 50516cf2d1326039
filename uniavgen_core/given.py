"""What users give, at the rates of the model: 16 frames and 100 mel frames a second, in whole latent frames."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import torch
from torch import Tensor

from .audio.mel import log_mel, peak_scale, to_model_waveform
from .checks import check_one_sound, check_sound
from .config import FRAME_RATE, HOP_LENGTH, SAMPLES_A_FRAME, latent_frames, pixel_frames
from .media.sound import fit_audio
from .tasks import past_tokens

CONTEXT_TOKENS = 2
"""Mel frames around a window, so that its first and last ones hear what really is beyond them."""


def at_model_rate(frames: Tensor, frame_rate: Fraction | float) -> Tensor:
    """Frames (F, H, W, channels) at 16 a second: each is the one that is shown in the middle of its time.

    Raises:
        ValueError: the frame rate is not positive.
    """
    shown = frames_shown(len(frames), frame_rate)
    return frames if shown == list(range(len(frames))) else frames[torch.tensor(shown)]


def stream_at_model_rate(frames: Iterator[Tensor], count: int, frame_rate: Fraction | float) -> Iterator[Tensor]:
    """As `at_model_rate`, one frame (H, W, channels) at a time; where there are fewer than the count, the last stays.

    Raises:
        ValueError: the frame rate is not positive, or there are no frames.
    """
    shown = frames_shown(count, frame_rate)
    frame, place = next(frames, None), 0
    if frame is None:
        raise ValueError("The picture is empty: it has no frames.")
    for wanted in shown:
        for _ in range(wanted - place):
            frame = next(frames, frame)
        place = wanted
        yield frame


def frames_shown(count: int, frame_rate: Fraction | float) -> list[int]:
    """Which of so many frames is shown in the middle of each sixteenth of a second.

    Raises:
        ValueError: the frame rate is not positive.
    """
    if frame_rate <= 0:
        raise ValueError(f"frame_rate is {float(frame_rate):g}: give the frames a second that the pictures have.")
    wanted, step = max(1, round(count * FRAME_RATE / frame_rate)), Fraction(frame_rate) / FRAME_RATE
    return [min(count - 1, int((place + Fraction(1, 2)) * step)) for place in range(wanted)]


def whole_latents(frames: Tensor) -> Tensor:
    """Frames (F, H, W, channels) whose last one is repeated until they fill whole latent frames."""
    missing = pixel_frames(latent_frames(len(frames))) - len(frames)
    return torch.cat((frames, frames[-1:].expand(missing, -1, -1, -1))) if missing else frames


def past_pictures(frames: Tensor, past_frames: int) -> Tensor:
    """The last frames (4(k-1)+1, H, W, channels) of a clip at 16 a second, which become k latent frames.

    Raises:
        ValueError: the clip is shorter.
    """
    wanted = pixel_frames(past_frames)
    if len(frames) < wanted:
        raise ValueError(
            f"The past lasts {len(frames) / FRAME_RATE:.2f} seconds, but {past_frames} past_frames are "
            f"{wanted / FRAME_RATE:.2f} seconds of it: give a longer clip, or keep fewer."
        )
    return frames[-wanted:]


def driving_mel(waveform: Tensor, sample_rate: int, tokens: int) -> Tensor:
    """Natural log-mel (1, 1, L, 80) of a whole sound (1, channels, samples), cut or padded with silence to L.

    Its peak is scaled.

    Raises:
        ValueError: the sound is empty, silent or not of numbers, or there are several.
    """
    check_one_sound("sound", waveform)
    check_sound("sound", waveform)
    sound = peak_scale(to_model_waveform(waveform, sample_rate))
    return log_mel(fit_audio(sound, tokens * HOP_LENGTH)).unsqueeze(1)


def past_mel(waveform: Tensor, sample_rate: int, frames: int, past_frames: int) -> Tensor:
    """Natural log-mel (1, 1, m, 80) of the sound (1, channels, samples) of a clip's last k latent frames.

    The whole sound has one gain, which scales its peak.

    Args:
        frames: frames of the whole clip at 16 a second; the sound is cut or padded with silence to them.

    Raises:
        ValueError: the sound is empty, silent or not of numbers, or there are several.
    """
    check_one_sound("sound", waveform)
    check_sound("sound", waveform)
    sound = fit_audio(peak_scale(to_model_waveform(waveform, sample_rate)), frames * SAMPLES_A_FRAME)
    start = (frames - pixel_frames(past_frames)) * SAMPLES_A_FRAME
    return mel_window(sound, start, past_tokens(past_frames))


def mel_window(sound: Tensor, start: int, tokens: int) -> Tensor:
    """Natural log-mel (1, 1, tokens, 80) of a part of a sound (1, samples) at 24 kHz, as it is in the whole's.

    Args:
        start: sample that the part starts with.
    """
    context = min(CONTEXT_TOKENS, start // HOP_LENGTH)
    first, end = start - context * HOP_LENGTH, start + (tokens + CONTEXT_TOKENS) * HOP_LENGTH
    return log_mel(sound[:, first:end])[:, context : context + tokens].unsqueeze(1)
