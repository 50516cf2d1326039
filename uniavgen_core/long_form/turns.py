"""Recordings of several people, who speak in turn or at once: one sound, and who speaks when.

At once, each recording is one person's track from start to end of the clip, as from microphones of their own. Who
speaks is told by the loudness of each track, against its own voice and against the others, which it may hear softly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..audio.voice import AUDIBLE_DB, LOUD_QUANTILE, VOICE_FLOOR_DB
from ..checks import check_one_waveform, check_waveform
from ..config import FRAME_RATE, SAMPLE_RATE, SAMPLES_A_FRAME, pixel_frames
from ..media.waveforms import ResampledWaveform, fit_audio
from .planning import LongFormSettings, PlannedSegment
from .recording import AudioRecording
from .script import Line

CROSSTALK_DB = 12.0
"""Who is so much softer than another one, each against their own voice, is only heard by the wrong microphone."""
SHORTEST_TURN = 2
"""Frames below which a sound beside somebody's speech is no turn."""
FAINTEST = 1e-10
"""Power of a frame of silence."""


class SpokenTurns(AudioRecording):
    """The sound of several people is given.

    Args:
        tracks: a waveform (1, channels, samples) and its samples a second for each person.
        names: of the user's inputs, one a track.
        in_turn: whether they speak one after the other, not at once.

    Raises:
        ValueError: a track is empty, silent or not of numbers, or at once they are not of one length.
    """

    def __init__(self, tracks: Sequence[tuple[Tensor, int]], names: Sequence[str], in_turn: bool):
        for name, (waveform, _) in zip(names, tracks, strict=True):
            check_one_waveform(name, waveform)
            check_waveform(name, waveform)
        if not in_turn:
            _check_lengths(tracks, names)
        rate = max(rate for _, rate in tracks)
        channels = min(2, max(waveform.shape[1] for waveform, _ in tracks))
        super().__init__(_together(tracks, rate, channels, in_turn), rate)
        mono = [_at_rate(*track, SAMPLE_RATE, 1)[0] for track in tracks]
        self.people = len(tracks)
        self.turns = _in_turn(mono, self.frames) if in_turn else who_speaks(mono, self.frames)
        """Whether each person speaks in each frame (F, people) of the clip."""

    def plan(self, lines: Sequence[Line], settings: LongFormSettings) -> tuple[LongFormSettings, list[PlannedSegment]]:
        marked = next((line for line in lines if line.speaker is not None), None)
        if marked is not None:
            raise ValueError(
                f"Line {marked.number} of the script has [speaker {marked.speaker}], but the recordings say who speaks "
                "when: leave out [speaker …]."
            )
        return super().plan(lines, settings)

    def speaking(self, start: int, latent_frames: int) -> Tensor:
        shown = torch.arange(start, start + pixel_frames(latent_frames)).clamp(max=self.frames - 1)
        return self.turns[shown]

    def describe(self) -> str:
        """Who speaks when, a line a turn."""
        changes = (self.turns[1:] != self.turns[:-1]).any(dim=1).nonzero().flatten().add(1).tolist()
        edges = [0, *changes, self.frames]
        return "\n".join(
            f"{first / FRAME_RATE:7.2f} to {end / FRAME_RATE:7.2f} s  speaker "
            + " and ".join(str(person + 1) for person in self.turns[first].nonzero().flatten().tolist())
            for first, end in zip(edges, edges[1:], strict=False)
        )


def _check_lengths(tracks: Sequence[tuple[Tensor, int]], names: Sequence[str]) -> None:
    """Refuse tracks that cannot be of one conversation: their ends are farther apart than a frame."""
    seconds = {name: waveform.shape[-1] / rate for name, (waveform, rate) in zip(names, tracks, strict=True)}
    if max(seconds.values()) - min(seconds.values()) > 1 / FRAME_RATE:
        listed = ", ".join(f"{name} {length:.2f}" for name, length in seconds.items())
        raise ValueError(
            f"The recordings are not of one length (in seconds: {listed}), but at once they begin and end together: "
            "make them equally long, with silence where somebody listens, or choose order 'in turn'."
        )


def _at_rate(waveform: Tensor, sample_rate: int, new_rate: int, channels: int) -> Tensor:
    """A whole sound (1, channels, samples) at another rate: (channels, samples)."""
    resampled = ResampledWaveform(waveform, sample_rate, new_rate, min(channels, waveform.shape[1]))
    return torch.cat([*resampled.pieces()], dim=-1).expand(channels, -1)


def _together(tracks: Sequence[tuple[Tensor, int]], rate: int, channels: int, in_turn: bool) -> Tensor:
    """One sound (1, channels, samples) of all, never beyond full scale."""
    sounds = [_at_rate(waveform, own_rate, rate, channels) for waveform, own_rate in tracks]
    if in_turn:
        return torch.cat(sounds, dim=-1).unsqueeze(0)
    longest = max(sound.shape[-1] for sound in sounds)
    mix = torch.stack([fit_audio(sound, longest) for sound in sounds]).sum(dim=0)
    return (mix / mix.abs().max().clamp_min(1.0)).unsqueeze(0)


def _in_turn(mono: Sequence[Tensor], frames: int) -> Tensor:
    """Who speaks (F, people) where each track (samples) follows the one before."""
    ends = torch.tensor([len(track) for track in mono]).cumsum(0)
    middles = torch.arange(frames) * SAMPLES_A_FRAME + SAMPLES_A_FRAME // 2
    whose = torch.bucketize(middles, ends, right=True).clamp(max=len(mono) - 1)
    return functional.one_hot(whose, len(mono)).bool()


def who_speaks(tracks: Sequence[Tensor], frames: int) -> Tensor:
    """Who speaks in each frame (F, people), by the loudness of each one's track (samples) at 24 kHz.

    Where nobody does, it is whoever speaks nearest in time, so that a mouth may open before it is heard.
    """
    whole = torch.stack([fit_audio(track, frames * SAMPLES_A_FRAME) for track in tracks])
    power = whole.unflatten(-1, (frames, SAMPLES_A_FRAME)).square().mean(dim=-1)
    level = 10 * power.clamp_min(FAINTEST).log10()
    audible = torch.where(level > level.amax(dim=1, keepdim=True) - AUDIBLE_DB, level, torch.nan)
    level = level - audible.nanquantile(LOUD_QUANTILE, dim=1, keepdim=True)
    is_voice = (level > -VOICE_FLOOR_DB) & (level > level.amax(dim=0) - CROSSTALK_DB)
    speaking = torch.stack([_without_clicks(one, is_voice.sum(dim=0) > one.int()) for one in is_voice], dim=1)
    somebody = speaking.any(dim=1).nonzero().flatten()
    nearest = (torch.arange(frames).unsqueeze(1) - somebody).abs().argmin(dim=1)
    return speaking[somebody[nearest]]


def _without_clicks(speaking: Tensor, others: Tensor) -> Tensor:
    """Where a person speaks (F), but for moments in which another one (F) does and that are too short for a turn."""
    values, lengths = torch.unique_consecutive(speaking, return_counts=True)
    is_short = (lengths < SHORTEST_TURN).repeat_interleave(lengths)
    return speaking & ~(is_short & others)
