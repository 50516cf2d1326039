"""Rotary tables of one shape of clip, made once a sampling run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from torch import Tensor

from ..model.plan import OnceARun
from ..model.rope import audio_table, video_table

ACE_BASE = 1_000_000.0
"""Base of the audio branch's frequencies."""
Tables = tuple[Tensor, Tensor]
"""Cosines and sines (positions, 1, head width) of the audio branch's rotary embedding."""


@dataclass(frozen=True)
class StitchedShape:
    """What the tables of a clip depend on."""

    frames: int
    rows: int
    """Rows of video tokens in a latent frame."""
    columns: int
    sound_rows: int
    """Rows of the sound's text features."""
    head_width: int
    device: torch.device


@dataclass(frozen=True)
class StitchedTables:
    """Rotary tables of one shape of clip, on the model's device."""

    video: Tensor
    """Of the video tokens, by frame, row and column."""
    token_frames: Tensor
    """Of the video tokens, by frame alone."""
    frames: Tensor
    """Of the latent frames."""
    audio: Tables
    """Of the audio columns."""
    sound: Tables
    """Of the sound's text features and, behind them, the latent frames."""


def stitched_tables(shape: StitchedShape) -> StitchedTables:
    """Make the tables of a clip shape."""
    by_frame = audio_table(shape.frames, shape.device, shape.head_width)
    return StitchedTables(
        video=video_table(shape.frames, shape.rows, shape.columns, shape.device, shape.head_width),
        token_frames=repeat(by_frame, "b t ... -> b (t n) ...", n=shape.rows * shape.columns),
        frames=by_frame,
        audio=ace_tables(torch.arange(shape.frames), shape),
        sound=ace_tables(torch.cat((torch.arange(shape.sound_rows), torch.arange(shape.frames))), shape),
    )


def ace_tables(positions: Tensor, shape: StitchedShape) -> Tables:
    """Cosines and sines of ACE-Step's rotary embedding: channel c turns by p · 1 000 000^(-2 (c mod d/2) / d)."""
    channels = torch.arange(0, shape.head_width, 2, dtype=torch.float32)
    frequencies = 1.0 / (ACE_BASE ** (channels / shape.head_width))
    angles = torch.outer(positions.float(), frequencies).repeat(1, 2)
    angles = rearrange(angles, "n d -> n 1 d")
    return angles.cos().to(shape.device), angles.sin().to(shape.device)


def ace_rotate(x: Tensor, tables: Tables) -> Tensor:
    """ACE-Step's rotary embedding of x (batch, tokens, heads, head width), in float32.

    The tables are laid out as two halves, but neighbouring channels are turned together: the two of a pair have
    different angles. The model was trained so.
    """
    cosine, sine = tables
    x = x.float()
    even, odd = rearrange(x, "b n heads (pairs two) -> two b n heads pairs", two=2)
    turned = rearrange(torch.stack((-odd, even)), "two b n heads pairs -> b n heads (pairs two)")
    return x * cosine + turned * sine


class StitchedPlans(OnceARun[StitchedShape, StitchedTables]):
    """The tables of one sampling run."""

    def __init__(self) -> None:
        super().__init__(stitched_tables)
