"""How clips of the small model are sampled when nothing else is asked for: chosen on its validation clips.

The steps are few, the shift is small, and no block is left out, because the model has three blocks and small pictures.
"""

from __future__ import annotations

from ..sampling.guidance import NO_BLOCK, Guidance

STEPS = 25
SHIFT = 2.0
GUIDANCE = Guidance(video_scale=2.0, audio_scale=2.5, skip_block=NO_BLOCK)
