"""How clips of the small model are sampled when nothing else is asked for."""

from __future__ import annotations

from ..sampling.guidance import Guidance
from ..sampling.schedule import DEFAULT_SHIFT, DEFAULT_STEPS

STEPS = DEFAULT_STEPS
SHIFT = DEFAULT_SHIFT
GUIDANCE = Guidance()
