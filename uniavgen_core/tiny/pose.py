"""What moves in a drawn face."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pose:
    """A moment of a face. The default is at rest: neutral, mouth closed, eyes open, head upright in the middle."""

    mouth_open: float = 0.0
    """0 closed, 1 as far as it goes."""
    mouth_width: float = 0.0
    """-1 narrow, 1 wide."""
    lips_round: float = 0.0
    """0 relaxed, 1 pursed."""
    lips_pressed: float = 0.0
    """1 is thin, as for M, B and P."""
    teeth: float = 0.0
    """0..1, how much the upper row shows in an open mouth."""
    tongue: float = 0.0
    """0 lies low, 1 touches the upper teeth."""
    mouth_corners: float = 0.0
    """-1 sad, 1 smiling."""
    brow_raise: float = 0.0
    """-1 low, 1 high."""
    brow_angle: float = 0.0
    """-1 inner ends up (sad), 1 inner ends down (angry)."""
    eyelids: float = 1.0
    """0 closed, 1 open."""
    gaze_x: float = 0.0
    """-1 to the picture's left, 1 to its right."""
    gaze_y: float = 0.0
    """-1 up, 1 down."""
    head_x: float = 0.0
    """Pixels to the right."""
    head_y: float = 0.0
    """Pixels down."""
    head_tilt: float = 0.0
    """Degrees clockwise."""
