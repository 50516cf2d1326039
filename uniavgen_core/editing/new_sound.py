"""New sound of a segment as it is put into the user's: at its rate, in its channels, as loud, without a seam."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from ..config import HOP_LENGTH, SAMPLE_RATE
from ..long_form.seams import CROSSFADE_SECONDS, kept_gain
from ..media.waveforms import ResampledWaveform, fit_audio


def loud_as_given(made: Tensor, given: Tensor, tokens: range, separate: bool = False) -> Tensor:
    """A decoded segment's new sound (samples) at 24 kHz, as loud as the user's around it.

    Args:
        made: of the whole segment, as decoded.
        given: the user's own sound of it at 24 kHz, mixed to one channel.
        tokens: which are made anew.
        separate: what is before and what is behind are of two sounds, and the loudness goes over from one to the other.
    """
    start, end = (token * HOP_LENGTH for token in (tokens.start, tokens.stop))
    sides = [(given[:start], made[:start]), (given[end:], made[end : len(given)])]
    if not separate:
        sides = [tuple(torch.cat(parts) for parts in zip(*sides, strict=True))] * 2  # type: ignore[list-item]
    first, last = (math.log(kept_gain(own, decoded[: len(own)])) for own, decoded in sides)
    return made[start:end] * torch.linspace(first, last, end - start).exp()


def channel_weights(given: Tensor, mono: Tensor) -> Tensor:
    """How much of a voice each channel (channels, samples) has, told by the mix of them (samples): (channels, 1)."""
    power = mono.square().sum()
    if not power:
        return torch.ones(len(given), 1)
    return (given @ mono / power).clamp_min(0).unsqueeze(-1)


def put_in_sound(
    pieces: Iterable[Tensor], sample_rate: int, new: Tensor, start: Fraction, weights: Tensor
) -> Iterator[Tensor]:
    """The user's sound in pieces (channels, samples), with a new stretch in it; what is outside of it is not touched.

    At both ends of the stretch the two are crossfaded within it, but at the very start of the sound.

    Args:
        new: samples at 24 kHz.
        start: second at which it begins.
        weights: (channels, 1), of the new sound in each channel.
    """
    first, end = round(start * sample_rate), round((start + Fraction(len(new), SAMPLE_RATE)) * sample_rate)
    position, held = 0, list[Tensor]()
    for piece in pieces:
        begin, stop = (min(max(edge - position, 0), piece.shape[-1]) for edge in (first, end))
        is_last = position < end <= position + piece.shape[-1]
        position += piece.shape[-1]
        if begin:
            yield piece[:, :begin]
        if stop > begin:
            held.append(piece[:, begin:stop])
        if is_last:
            yield _mixed_in(torch.cat(held, dim=-1), sample_rate, new, weights, fades_in=first > 0)
        if stop < piece.shape[-1]:
            yield piece[:, stop:]
    if position < end:
        silence = torch.zeros(len(weights), max(0, first - position))
        old = fit_audio(torch.cat((torch.zeros(len(weights), 0), *held), dim=-1), end - first)
        yield torch.cat((silence, _mixed_in(old, sample_rate, new, weights, fades_in=first > 0)), dim=-1)


def _mixed_in(old: Tensor, sample_rate: int, new: Tensor, weights: Tensor, fades_in: bool) -> Tensor:
    """The old stretch (channels, samples) replaced by the new one (samples at 24 kHz), crossfaded at the ends."""
    at_rate = ResampledWaveform(new.view(1, 1, -1), SAMPLE_RATE, sample_rate).stretch(0, old.shape[-1])
    replaced = weights * at_rate
    length = min(round(CROSSFADE_SECONDS * sample_rate), old.shape[-1] // 2)
    if not length:
        return replaced
    fade = torch.linspace(0, 1, length + 2)[1:-1]
    if fades_in:
        replaced[:, :length] = _crossfaded(old[:, :length], replaced[:, :length], fade)
    replaced[:, -length:] = _crossfaded(old[:, -length:], replaced[:, -length:], fade.flip(0))
    return replaced


def _crossfaded(old: Tensor, new: Tensor, fade_in: Tensor) -> Tensor:
    """Both (channels, samples), the power kept whether they agree sample by sample or only in what is heard."""
    likeness = functional.cosine_similarity(old.flatten(), new.flatten(), dim=0).clamp(0, 1)
    fade_out = 1 - fade_in
    power = (fade_in.square() + fade_out.square() + 2 * likeness * fade_in * fade_out).sqrt()
    return (old * fade_out + new * fade_in) / power
