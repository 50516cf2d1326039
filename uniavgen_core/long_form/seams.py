"""Seams between segments that can be neither seen nor heard.

A segment begins with the end of the one before, encoded again. What the codec changed of that end's colours is undone
for the whole segment, what it changed of its detail is faded out, and so is what jumps at the seam beyond the motion
around it. What the model drifts away from the first segment is taken back slowly, from nothing at the seam to all at
the segment's end, so that the next one starts from colours and a loudness that are right. The sound is crossfaded where
the overlap is quietest.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..audio.voice import VOICE_FLOOR_DB, loud_db, token_level_db
from ..config import SAMPLE_RATE, SAMPLES_A_FRAME

CONTRAST_LIMIT = 1.15
"""Contrast is changed by this factor at most."""
BRIGHTNESS_LIMIT = 0.08
"""Brightness is moved by this much of the range at most."""
LOUDNESS_LIMIT_DB = 4.0
"""Loudness is changed by as many decibels at most; more is taken for a change that is meant."""
FADE_FRAMES = 8
"""New frames over which a picture leaves the past: half a second."""
MOTION_BLOCKS = 16
"""Motion is measured in squares, of which so many make the picture's shorter side."""
CROSSFADE_SECONDS = 0.04
LEAST_DEVIATION = 1e-3
SILENT_RMS = 1e-3
JOIN_GAIN_LIMIT = 3.0
"""A continuation's sound is made louder or softer by this factor at most."""
LEVEL_BLOCK = SAMPLE_RATE // 50
"""Samples of which a level is measured: 20 ms."""


def colours_of(frames: Tensor) -> Tensor:
    """Mean and standard deviation of each colour channel (2, 3) of frames (F, H, W, 3) of values 0..1."""
    values = frames.flatten(0, -2)
    return torch.stack((values.mean(dim=0), values.std(dim=0, correction=0)))


def colour_change(colours: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Contrast and brightness (3,) each that bring colours (2, 3) to the wanted ones, within limits."""
    mean, deviation = colours
    contrast = wanted[1] / deviation.clamp_min(LEAST_DEVIATION)
    contrast = contrast.clamp(1 / CONTRAST_LIMIT, CONTRAST_LIMIT)
    moved = (wanted[0] - mean).clamp(-BRIGHTNESS_LIMIT, BRIGHTNESS_LIMIT)
    return contrast, mean + moved - contrast * mean


def correct_frames(frames: Tensor, kept: Tensor, past: Tensor, first: Tensor) -> Tensor:
    """The new frames (F, H, W, 3) of a segment, as they go on from those before.

    Args:
        frames: as decoded, without the kept ones.
        kept: the kept frames as decoded.
        past: the kept frames as they were.
        first: the colours (2, 3) of the first segment.
    """
    contrast, brightness = colour_change(colours_of(kept), colours_of(past))
    frames, kept = ((decoded * contrast).add_(brightness) for decoded in (frames, kept))
    frames = fade_from_past(frames, kept, past)
    contrast, brightness = colour_change(colours_of(frames[-len(past) :]), first)
    fraction = torch.linspace(0, 1, len(frames) + 1, device=frames.device)[1:].view(-1, 1, 1, 1)
    # In place, since frames are copies by now: a clip at full size is held as seldom as can be.
    return frames.mul_(1 + fraction * (contrast - 1)).add_(fraction * brightness).clamp_(0, 1)


def fade_from_past(frames: Tensor, kept: Tensor, past: Tensor) -> Tensor:
    """The new frames (F, H, W, 3) of a segment, of which the first ones fade from the last frame of the past.

    Two things are faded out: what the codec changed of that frame, and the change from it to the first new frame, as
    far as this is larger than any between the frames around. Motion that goes on over the seam is left as it is.

    Args:
        frames: as decoded, without the kept ones.
        kept: the kept frames as decoded.
        past: the kept frames as they were.
    """
    length = min(FADE_FRAMES, len(frames))
    weight = fade_weights(length).to(frames.device).view(-1, 1, 1, 1)
    return torch.cat((frames[:length] + weight * seam_offset(frames, kept, past), frames[length:]))


def fade_weights(length: int) -> Tensor:
    """What each of the first frames has of the offset at a seam: from nearly 1 to nearly 0."""
    return torch.linspace(1, 0, length + 2)[1:-1]


def seam_offset(frames: Tensor, kept: Tensor, past: Tensor) -> Tensor:
    """What the first new frame (H, W, 3) lacks to follow the past's last one; as `fade_from_past`."""
    jump = kept[-1] - frames[0]
    around = torch.cat([_motion(part) for part in (kept[-FADE_FRAMES:], frames[:FADE_FRAMES])])
    at_seam = _motion(torch.stack((kept[-1], frames[0])))[0]
    # What moves comes from the next square, or goes there.
    natural = functional.max_pool2d(around, 3, stride=1, padding=1).amax(dim=0) if len(around) else 0
    surplus = (1 - natural / at_seam.clamp_min(LEAST_DEVIATION)).clamp_min(0)
    surplus = functional.interpolate(surplus[None, None], size=jump.shape[:2], mode="bilinear")[0, 0]
    return past[-1] - kept[-1] + surplus.unsqueeze(-1) * jump


def _motion(frames: Tensor) -> Tensor:
    """Mean change from each frame (F, H, W, 3) to the next in squares of the picture: (F - 1, rows, columns)."""
    change = (frames[1:] - frames[:-1]).abs().mean(dim=-1)
    side = max(1, min(change.shape[1:]) // MOTION_BLOCKS)
    blocks = change.shape[1] // side, change.shape[2] // side
    return functional.interpolate(change.unsqueeze(1), size=blocks, mode="area")[:, 0]


def voice_db(mel: Tensor) -> float:
    """Mean level in decibels of the voice in a natural log-mel (L, 80)."""
    level = token_level_db(mel)
    return float(level[level > loud_db(mel) - VOICE_FLOOR_DB].mean())


def correct_loudness(mel: Tensor, waveform: Tensor, wanted_db: float, start_token: int) -> tuple[Tensor, Tensor]:
    """Mel (L, 80) and waveform (samples) of a segment whose voice comes to a level, slowly from the seam on.

    A level that is far off is a change that is meant, and stays.

    Args:
        wanted_db: level of the voice in the first segment of this caption.
        start_token: where the kept sound ends.
    """
    change = wanted_db - voice_db(mel[start_token:])
    if abs(change) > LOUDNESS_LIMIT_DB:
        return mel, waveform
    ramp = torch.linspace(0, 1, len(mel) - start_token + 1)[1:] * change * math.log(10) / 20
    logarithm = functional.pad(ramp, (start_token, 0))
    gain = functional.interpolate(logarithm.exp()[None, None], size=len(waveform), mode="linear")[0, 0]
    return mel + logarithm.unsqueeze(-1), waveform * gain


def crossfade(before: Tensor, after: Tensor, sample_rate: int) -> Tensor:
    """Two versions (samples) of the same stretch of sound, the first one faded into the second where they are quietest.

    The sum keeps its power whether the two agree sample by sample, or only in what is heard.
    """
    length = min(round(CROSSFADE_SECONDS * sample_rate), len(before))
    power = (before.square() + after.square()).cumsum(0)
    sums = power[length - 1 :] - functional.pad(power[:-length], (1, 0))
    start = int(sums.argmin())
    fade_in = torch.linspace(0, 1, length + 2)[1:-1]
    fade_out = 1 - fade_in
    first, second = before[start : start + length], after[start : start + length]
    likeness = functional.cosine_similarity(first, second, dim=0).clamp(0, 1)
    power_kept = (fade_in.square() + fade_out.square() + 2 * likeness * fade_in * fade_out).sqrt()
    mixed = (first * fade_out + second * fade_in) / power_kept
    return torch.cat((before[:start], mixed, after[start + length :]))


def join_clips(
    past: Tensor,
    past_waveform: Tensor,
    frames: Tensor,
    waveform: Tensor,
    shared: int,
    room: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """A clip and its continuation as one, with what they share shown once.

    Args:
        past, frames: frames (F, H, W, 3) at 16 a second.
        past_waveform, waveform: samples at 24 kHz, as long as the frames.
        shared: frames at the end of the past with which the continuation begins.
        room: frames enough for the result, the first of which are the past, which is not copied then.

    Returns:
        Frames and samples.

    Raises:
        ValueError: one of the clips is not longer than what they share.
    """
    if len(past) < shared or len(frames) <= shared:
        raise ValueError(
            f"The clips share {shared} frames, but the past has {len(past)} and the continuation {len(frames)}: set "
            "past_frames as in UniAVGen Latent."
        )
    # Not the whole past: its earlier scenes say nothing about how the continuation should look.
    recent = colours_of(past[-max(shared, len(frames) - shared) :])
    added = correct_frames(frames[shared:], frames[:shared], past[-shared:], recent)
    overlap = shared * SAMPLES_A_FRAME
    waveform = waveform * join_gain(past_waveform, waveform, overlap)
    seam = crossfade(past_waveform[-overlap:], waveform[:overlap], SAMPLE_RATE)
    if room is None:
        room = torch.cat((past, added))
    else:
        room = room[: len(past) + len(added)]
        room[len(past) :] = added
    return room, torch.cat((past_waveform[:-overlap], seam, waveform[overlap:]))


def join_gain(past: Tensor, waveform: Tensor, shared: int) -> float:
    """Factor that brings a continuation's sound to the loudness of its past, 1 where nothing tells it.

    It is measured in what they share, where the past is loud: near silence, noise would decide. The model's sound is at
    full scale, so a past that is softer as a whole makes it softer beyond the limit. Where the past ends in silence, no
    more than that is undone, and only as far as both voices differ: a change of mood may be meant.

    Args:
        past: the past's waveform (samples).
        waveform: the continuation's (samples).
        shared: samples at the end of the past with which the continuation begins.
    """
    whole, before, after = (_levels(part) for part in (past, past[-shared:], waveform[:shared]))
    full_scale = min(1.0, float(past.abs().max()))
    loud = before > _floor(whole)
    if loud.any():
        wanted, level = _rms(before[loud]), _rms(after[loud])
        softest, loudest = full_scale / JOIN_GAIN_LIMIT, JOIN_GAIN_LIMIT
    else:
        wanted, level = (_rms(levels[levels > _floor(levels)]) for levels in (whole, _levels(waveform[shared:])))
        softest, loudest = full_scale, 1.0
    # Of no voice at all, the level is not a number.
    if not (wanted > 0 and level >= SILENT_RMS):
        return 1.0
    return min(max(float(wanted / level), softest), loudest)


def kept_gain(given: Tensor, made: Tensor) -> float:
    """Factor that brings a made sound (samples) to the loudness of the given one, of the same moments.

    It is told where the given one is loud; 1 where nothing is.
    """
    before, after = _levels(given), _levels(made)
    loud = before > _floor(before) if len(before) else before.bool()
    if not loud.any() or not _rms(after[loud]):
        return 1.0
    return min(max(float(_rms(before[loud]) / _rms(after[loud])), 1 / JOIN_GAIN_LIMIT), JOIN_GAIN_LIMIT)


def _levels(waveform: Tensor) -> Tensor:
    """Level of each block of a waveform (samples)."""
    return _rms(waveform.unfold(0, LEVEL_BLOCK, LEVEL_BLOCK))


def _floor(levels: Tensor) -> float:
    """Level below which a sound of these levels is no voice."""
    return max(SILENT_RMS, float(levels.max()) * 10 ** (-VOICE_FLOOR_DB / 20))


def _rms(waveform: Tensor) -> Tensor:
    """Root mean square over the last dimension."""
    return waveform.square().mean(dim=-1).sqrt()
