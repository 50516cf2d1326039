"""A host of long clips whose arithmetic can be checked by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from uniavgen_core.audio.mel import silence_mel
from uniavgen_core.config import HOP_LENGTH, audio_tokens, pixel_frames
from uniavgen_core.long_form.script import Line
from uniavgen_core.long_form.step import SegmentRequest

ROWS, COLUMNS = 2, 4
LOUD, TRAILING_TOKENS = -3.0, 10
VALUE = slice(0, 1)
SCENE_VALUE = 0.25
"""By so much each scene's picture is brighter than the one before."""


class CountingHost:
    """Its pictures show the number of their frame since the clip began; its voice is one loud mel value."""

    def __init__(self, name: str = "host", trailing_tokens: int = TRAILING_TOKENS):
        self.name, self.trailing_tokens = name, trailing_tokens
        self.names: dict[int | None, str] = {}
        """Of voices by speaker, which may be others in another run."""
        self.orders: list[SegmentRequest] = []

    def identity(self) -> str:
        return self.name

    def identity_of(self, line: Line) -> str:
        return f"{self.names.get(line.speaker)} {line.scene}"

    def picture(self, scene: int) -> Tensor:
        return torch.full((1, 48, 1, ROWS, COLUMNS), SCENE_VALUE * (scene - 1))

    def start(self) -> tuple[Tensor, Tensor]:
        return torch.zeros(1, 48, 1, ROWS, COLUMNS), silence_mel(0)

    def sample(self, order: SegmentRequest) -> tuple[Tensor, Tensor]:
        self.orders.append(order)
        given = order.video.shape[2]
        last = float(order.video[0, 0, -1, 0, 0])
        steps = torch.arange(1, order.latent_frames - given + 1).view(1, 1, -1, 1, 1)
        video = torch.cat((order.video, (last + 0.004 * steps).expand(1, 48, -1, ROWS, COLUMNS)), dim=2)
        tokens = audio_tokens(pixel_frames(order.latent_frames)) - order.mel.shape[2]
        voice = torch.full((1, 1, tokens, 80), LOUD)
        if self.trailing_tokens and tokens > self.trailing_tokens:
            voice[:, :, -self.trailing_tokens :] = silence_mel(self.trailing_tokens)
        return video, torch.cat((order.mel, voice), dim=2)

    def encode(self, frames: Tensor) -> Tensor:
        latents = frames[::4, ::16, ::16, VALUE].movedim(-1, 0).unsqueeze(0)
        return latents.expand(-1, 48, -1, -1, -1)

    def decode_video(self, video: Tensor) -> Tensor:
        frames = video[0, 0].repeat_interleave(16, 1).repeat_interleave(16, 2).unsqueeze(-1).expand(-1, -1, -1, 3)
        return torch.cat((frames[:1], frames[1:].repeat_interleave(4, 0)))

    def decode_audio(self, mel: Tensor) -> Tensor:
        level = mel[0, 0].exp().mean(dim=-1)
        wave = torch.tensor([1.0, -1.0]).repeat(HOP_LENGTH // 2)
        return (level.unsqueeze(-1) * wave).flatten()
