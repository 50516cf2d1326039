"""A part that was made anew, put back into the user's video: which of its frames and samples are replaced by what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from ..config import FRAME_RATE, HOP_LENGTH, SAMPLE_RATE, pixel_frames
from ..media.images import to_rgb
from ..media.track import AudioTrack
from ..media.video import Video
from ..media.waveforms import ResampledWaveform, fit_audio, mixed
from .given import Edit
from .new_picture import NewPicture
from .new_sound import channel_weights, loud_as_given, put_in_sound


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

    def index_at(self, seconds: Fraction) -> int | None:
        """Which new frame is on the screen at a second of the video; None where the user's own one is."""
        start, end = self.picture_seconds
        if self.picture is None or not start <= seconds < end:
            return None
        return min(int((seconds - start) * FRAME_RATE), len(self.picture.frames) - 1)

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
