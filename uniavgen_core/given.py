"""What users give, at the rates of the model: 16 frames and 100 mel frames a second, in whole latent frames."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from .audio.mel import log_mel, peak_scale, to_model_waveform
from .checks import check_one_sound, check_sound
from .config import FRAME_RATE, HOP_LENGTH, SAMPLES_A_FRAME, latent_frames, pixel_frames
from .media import fit_audio
from .tasks import past_tokens

CONTEXT_TOKENS = 2
"""Mel frames before a window, so that its first ones hear what really comes before them."""


def at_model_rate(frames: Tensor, frame_rate: Fraction | float) -> Tensor:
    """Frames (F, H, W, channels) at 16 a second: each is the one that is shown in the middle of its time.

    Raises:
        ValueError: the frame rate is not positive.
    """
    if frame_rate <= 0:
        raise ValueError(f"frame_rate is {float(frame_rate):g}: give the frames a second that the pictures have.")
    count = max(1, round(len(frames) * FRAME_RATE / frame_rate))
    middles = [int((place + Fraction(1, 2)) * Fraction(frame_rate) / FRAME_RATE) for place in range(count)]
    if middles == list(range(len(frames))):
        return frames
    return frames[torch.tensor(middles).clamp(max=len(frames) - 1)]


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
    context = min(CONTEXT_TOKENS, start // HOP_LENGTH)
    mel = log_mel(sound[:, start - context * HOP_LENGTH :])
    return mel[:, context : context + past_tokens(past_frames)].unsqueeze(1)
