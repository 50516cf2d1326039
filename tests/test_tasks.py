from __future__ import annotations

import pytest

from uniavgen_core.tasks import Directions, KeptParts, directions, kept_prefix

FRAMES, TOKENS = 3, 56
BOTH, TO_VIDEO, TO_AUDIO = Directions(True, True), Directions(True, False), Directions(False, True)


def test_kept_prefix() -> None:
    kept = kept_prefix(4, 6, kept_frames=1, kept_tokens=2)
    assert kept == KeptParts((True, False, False, False), (True, True, False, False, False, False))
    assert kept_prefix(2, 3, kept_frames=1) == KeptParts((True, False), (False, False, False))
    assert kept_prefix(2, 3, kept_frames=2, kept_tokens=3) == KeptParts((True, True), (True, True, True))


@pytest.mark.parametrize(
    ("kept_frames", "kept_tokens", "has_voice", "positive", "negative"),
    [
        (1, 0, False, BOTH, BOTH),
        (1, 0, True, TO_VIDEO, BOTH),
        (2, 19, False, BOTH, BOTH),
        (2, 19, True, TO_VIDEO, BOTH),
        (FRAMES, 0, False, TO_AUDIO, TO_AUDIO),
        (FRAMES, 0, True, TO_AUDIO, TO_AUDIO),
        (1, TOKENS, False, TO_VIDEO, TO_VIDEO),
    ],
    ids=["joint", "reference voice", "continuation", "continuation, voice", "dubbing", "dubbing, voice", "driven"],
)
def test_directions_of_each_task(
    kept_frames: int, kept_tokens: int, has_voice: bool, positive: Directions, negative: Directions
) -> None:
    kept = kept_prefix(FRAMES, TOKENS, kept_frames, kept_tokens)
    assert directions(kept.video, kept.audio, has_voice, negative=False) == positive
    assert directions(kept.video, kept.audio, has_voice, negative=True) == negative
