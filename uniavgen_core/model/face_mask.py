"""Face-aware modulation: the face mask that each interaction predicts (arXiv 2511.03334, section 3.4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

FRAMES_A_CHUNK = 4
"""Frames whose tokens are in memory in float32 at once."""


class FaceMaskHead(nn.Module):
    """Predicts how much each video token belongs to the face."""

    def __init__(self, width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        self.cast = operations.cast
        self.norm = operations.LayerNorm(width, eps=1e-6, elementwise_affine=False, device=device, dtype=dtype)
        self.head = operations.Float32Linear(width, 1, device=device, dtype=dtype)
        self.modulation = nn.Parameter(torch.empty(1, 2, width, device=device, dtype=dtype))

    def forward(self, video: Tensor, time: Tensor, frame_rows: Tensor) -> Tensor:
        """Face mask (batch, T, N) in (0, 1), computed in float32.

        Args:
            video: tokens (batch, T, N, width) as the block left them.
            time: video time embeddings (batch, 2, width) of timestep 0 and of the step, float32.
            frame_rows: (T,) which of the two each frame has.
        """
        rows = time.index_select(1, frame_rows).unsqueeze(2)
        shift, scale = (self.cast(self.modulation, time)[:, None] + rows).chunk(2, dim=2)
        chunks = zip(*(x.split(FRAMES_A_CHUNK, dim=1) for x in (video, shift, 1 + scale)), strict=True)
        return torch.cat([self._scores(*chunk) for chunk in chunks], dim=1).sigmoid().squeeze(-1)

    def _scores(self, video: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return self.head(torch.addcmul(shift, self.norm(video.float()), scale))
