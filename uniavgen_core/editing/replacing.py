"""A part that was made anew, put back into the user's video: which of its frames and samples are replaced by what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from ..config import FRAME_RATE, HOP_LENGTH, SAMPLE_RATE, SAMPLES_A_FRAME, pixel_frames
from ..long_form.seams import kept_gain
from ..media.images import to_rgb
from ..media.track import AudioTrack
from ..media.video import Video
from ..media.waveforms import ResampledWaveform, at_rate, fit_audio, fitted_pieces, mixed, mono_at_rate
from .given import Edit
from .new_picture import NewPicture
from .new_sound import channel_weights, loud_as_given, put_in_sound

STEP_SECONDS = 0.002
"""In which a step of the waveform at a bridge's ends dies away."""


@dataclass(frozen=True)
class PutBack:
    """What replaces what of a video.

    Args:
        picture: the new frames, or None.
        picture_seconds: between which they are shown.
        sound: the new samples at 24 kHz, or None.
        sound_start: second at which they begin.
        weights: of the new sound in each of the user's channels, (channels, 1).
    """

    picture: NewPicture | None
    picture_seconds: tuple[Fraction, Fraction]
    sound: Tensor | None
    sound_start: Fraction
    weights: Tensor

    @property
    def sound_seconds(self) -> tuple[Fraction, Fraction] | None:
        """Between which the sound is a new one; None where none is."""
        if self.sound is None:
            return None
        return self.sound_start, self.sound_start + Fraction(len(self.sound), SAMPLE_RATE)

    def index_at(self, seconds: Fraction) -> int | None:
        """Which new frame is on the screen at a second of the video; None where the user's own one is."""
        start, end = self.picture_seconds
        if self.picture is None or not start <= seconds < end:
            return None
        return min(int((seconds - start) * FRAME_RATE), len(self.picture.frames) - 1)

    def replaced(self, seconds: Fraction, shown: Callable[[], Tensor]) -> Tensor | None:
        """The new frame (H, W, 3) at a second, in the one that was shown; None where that stays."""
        index = self.index_at(seconds)
        return None if index is None or self.picture is None else self.picture.frame(index, shown())

    def images(self, frames: Tensor, rate: Fraction) -> Tensor:
        """Frames (F, H, W, channels) at a rate with the new ones among them."""
        made = to_rgb(frames).clone()
        for number, frame in enumerate(made):
            index = self.index_at((number + Fraction(1, 2)) / rate)
            if index is not None and self.picture is not None:
                made[number] = self.picture.frame(index, frame)
        return made

    def pieces(self, track: AudioTrack) -> Iterator[Tensor]:
        """The video's sound in pieces (channels, samples), with the new one in it."""
        if self.sound is None:
            return track.pieces
        return put_in_sound(track.pieces, track.sample_rate, self.sound, self.sound_start, self.weights)


def put_back_retake(video: Video, track: AudioTrack, edit: Edit, images: Tensor, waveform: Tensor) -> PutBack:
    """What a retake replaces of a video.

    Args:
        video: the whole, from which the segment was taken.
        track: its sound, which is read to the segment's end.
        images: of the segment as decoded, (F, h, w, channels).
        waveform: of the segment as decoded, (samples) at 24 kHz.

    Raises:
        ValueError: images or sound are not of that segment.
    """
    segment = edit.segment
    check_decoded(edit, images, waveform)
    picture = None
    if segment.video:
        made = segment.frames
        end = min(segment.first + len(images), video.frames)
        before = video, range(segment.first, segment.first + made.start)
        behind = video, range(min(segment.first + made.stop, end), end)
        picture = NewPicture(to_rgb(images), made, before, behind, video.size)
    weights, sound = torch.ones(track.channels, 1), None
    if segment.audio:
        heard = _segment_sound(track, edit)
        mono = mixed(heard.unsqueeze(0), track.sample_rate, 1)[0]
        at_24k = ResampledWaveform(mono.unsqueeze(0), track.sample_rate, SAMPLE_RATE)
        given = at_24k.stretch(0, segment.tokens * HOP_LENGTH)[0]
        weights = channel_weights(heard, mono[0])
        sound = loud_as_given(waveform / edit.gain, given, segment.audio)
    return PutBack(picture, segment.picture_seconds, sound, segment.sound_seconds[0], weights)


def check_decoded(edit: Edit, images: Tensor, waveform: Tensor) -> None:
    """Refuse what is not the decoded segment.

    Raises:
        ValueError: it is of another length.
    """
    wanted = pixel_frames(edit.segment.latent_frames)
    if len(images) != wanted:
        raise ValueError(
            f"images has {len(images)} frames, but the segment of this LATENT has {wanted}: connect what VAE Decode "
            "makes of the same LATENT as it was sampled, one clip of it."
        )
    if abs(waveform.shape[-1] - edit.segment.tokens * HOP_LENGTH) > SAMPLE_RATE // FRAME_RATE:
        raise ValueError(
            f"audio lasts {waveform.shape[-1] / SAMPLE_RATE:.2f} seconds, but the segment of this LATENT "
            f"{edit.segment.tokens * HOP_LENGTH / SAMPLE_RATE:.2f}: connect what VAE Decode Audio makes of it."
        )


def _segment_sound(track: AudioTrack, edit: Edit) -> Tensor:
    """The user's sound (channels, samples) of a segment at its own rate, silence behind its end."""
    segment, rate = edit.segment, track.sample_rate
    start = round(segment.start * rate)
    end = start + round(Fraction(segment.tokens * HOP_LENGTH, SAMPLE_RATE) * rate)
    position, found = 0, [torch.zeros(track.channels, 0)]
    for piece in track.pieces:
        wanted = piece[:, max(0, start - position) : max(0, end - position)]
        found += [wanted.clone()] if wanted.shape[-1] else []
        position += piece.shape[-1]
        if position >= end:
            break
    return fit_audio(torch.cat(found, dim=-1), end - start)


@dataclass(frozen=True)
class Bridge:
    """What lies between two clips.

    Args:
        picture: its frames, 16 a second, of the clips' size.
        sound: (samples) at 24 kHz, as long as the frames.
    """

    picture: NewPicture
    sound: Tensor

    def frames(self) -> Iterator[Tensor]:
        """Frames (H, W, 3) of values 0..1; what the model did not see fades from one clip to the other."""
        count = len(self.picture.frames)
        for index in range(count):
            fraction = (index + 1) / (count + 1)
            yield self.picture.frame(index, self.picture.beside(fraction))


def put_back_bridge(
    clips: tuple[Video, Video], tracks: tuple[AudioTrack, AudioTrack], edit: Edit, images: Tensor, waveform: Tensor
) -> Bridge:
    """The bridge between two clips, of their colours and loudness; neither of them is changed.

    Args:
        clips, tracks: both clips and their sounds.
        images, waveform: as those of `put_back_retake`.

    Raises:
        ValueError: images or sound are not of that segment.
    """
    segment, (before, after), made = edit.segment, clips, edit.segment.frames
    next_gain = edit.next_gain or edit.gain
    check_decoded(edit, images, waveform)
    kept_behind = range(0, len(images) - made.stop)
    picture = NewPicture(
        to_rgb(images), made, (before, range(segment.first, before.frames)), (after, kept_behind), before.size
    )
    start, end = (frame * SAMPLES_A_FRAME for frame in (made.start, made.stop))
    first_end = before.frames * SAMPLES_A_FRAME
    ending = _mono_between(tracks[0], first_end - start, first_end)
    beginning = _mono_between(tracks[1], 0, len(waveform) - end)
    gains = (
        kept_gain(ending, waveform[:start] / edit.gain) / edit.gain,
        kept_gain(beginning, waveform[end:] / next_gain) / next_gain,
    )
    first, last = map(math.log, gains)
    sound = waveform[start:end] * torch.linspace(first, last, end - start).exp()
    return Bridge(picture, _without_steps(sound, float(ending[-1]), float(beginning[0])))


def _without_steps(sound: Tensor, before: float, after: float) -> Tensor:
    """A sound (samples) at 24 kHz that starts and ends where others do; the difference dies away in milliseconds."""
    decay = torch.exp(-torch.arange(len(sound)) / (STEP_SECONDS * SAMPLE_RATE))
    return sound + (before - sound[0]) * decay + (after - sound[-1]) * decay.flip(0)


def _mono_between(track: AudioTrack, start: int, end: int) -> Tensor:
    """Samples (end - start) at 24 kHz of a sound mixed to one channel; silence beyond it."""
    position, found = 0, [torch.zeros(1, 0)]
    for piece in mono_at_rate(track.pieces, track.sample_rate, SAMPLE_RATE):
        wanted = piece[:, max(0, start - position) : max(0, end - position)]
        found += [wanted.clone()] if wanted.shape[-1] else []
        position += piece.shape[-1]
    return fit_audio(torch.cat(found, dim=-1)[0], end - start)


def bridged_sound(
    bridge: Bridge, clips: tuple[Video, Video], tracks: tuple[AudioTrack, AudioTrack]
) -> Iterator[Tensor]:
    """The sounds of two clips with the bridge's between them, in pieces (channels, samples) of the first one's form.

    Each clip's sound is cut, or padded with silence, to its picture, so that the next one is in time.
    """
    before, after = tracks
    rate, channels = before.sample_rate, before.channels
    yield from fitted_pieces(before.pieces, round(clips[0].seconds * rate))
    new = ResampledWaveform(bridge.sound.view(1, 1, -1), SAMPLE_RATE, rate)
    yield new.stretch(0, round(Fraction(len(bridge.picture.frames), FRAME_RATE) * rate)).expand(channels, -1)
    behind = after.pieces
    if (after.sample_rate, after.channels) != (rate, channels):
        heard = at_rate(behind, after.sample_rate, rate, channels if after.channels == channels else 1)
        behind = (piece.expand(channels, -1) for piece in heard)
    yield from fitted_pieces(behind, round(clips[1].seconds * rate))
