"""What a long clip asks of whoever samples its segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class SegmentRequest:
    """A clip to sample, and what is given of it: latent frames (1, 48, n, h, w) and natural log-mel (1, 1, m, 80)."""

    latent_frames: int
    video: Tensor
    mel: Tensor
    silence: float
    """Seconds of silence that the given sound ends with, beside the past's own."""
    caption: str
    words: str
    seed: int
    speaker: int | None = None
    """Which of several people speaks, from 1; None leaves it open."""


class Host(Protocol):
    """What samples, encodes and decodes."""

    def start(self) -> tuple[Tensor, Tensor]:
        """What the first segment is given: latent frames and mel as in `SegmentRequest`."""

    def identity(self) -> str:
        """A text that is another one whenever the host would make something else of a request."""

    def sample(self, request: SegmentRequest) -> tuple[Tensor, Tensor]:
        """Video latent (1, 48, T, h, w) and natural log-mel (1, 1, L, 80)."""

    def encode(self, frames: Tensor) -> Tensor:
        """Latent (1, 48, k, h, w) of frames (4(k-1)+1, H, W, 3)."""

    def decode_picture(self, video: Tensor) -> Tensor:
        """Frames (4(T-1)+1, H, W, 3) of a latent (1, 48, T, h, w)."""

    def decode_sound(self, mel: Tensor) -> Tensor:
        """Sound (samples) at 24 kHz of natural log-mel (1, 1, L, 80)."""
