"""What is said where the small model is asked for more than it knows: other people, other words, a larger picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..uniavgen_core.long_form.script import Line
from ..uniavgen_core.media.images import crop_and_resize, to_rgb
from ..uniavgen_core.tiny.bundle import SHORT_SIDE
from ..uniavgen_core.tiny.knowledge import FEWEST_WORDS, MOST_WORDS, is_drawn, unknown_words
from .comfy_codecs import SMALL_CAPTION, TinyCaptionEncoder, TinyVideoCodec

PEOPLE = 2
"""Side by side at most."""
SHOWN_WORDS = 5


def picture_notes(vae: Any, picture: Tensor | None, width: int, height: int) -> list[str]:
    """What of a clip's picture is not of the small model's world; nothing where the VAE is another model's.

    Args:
        picture: (n, H, W, channels) of values 0..1, of which the first is looked at; None to look at none.
        width, height: of the clip.
    """
    if not isinstance(vae, TinyVideoCodec):
        return []
    notes = []
    if height > SHORT_SIDE or width > PEOPLE * SHORT_SIDE:
        notes.append(
            f"The small model draws {SHORT_SIDE} × {SHORT_SIDE} pixels ({PEOPLE * SHORT_SIDE} × {SHORT_SIDE} for two "
            f"people), and of {width} × {height} it makes noise: set size to custom, and width and height to "
            f"{SHORT_SIDE}."
        )
    if picture is not None and not _shows_drawn_people(vae, picture):
        notes.append(
            "The picture shows none of the small model's people, so expect noise: take one of UniAVGen Tiny Portrait "
            "or a sample of the pack. Pictures of your own are for the released model."
        )
    return notes


def _shows_drawn_people(vae: TinyVideoCodec, picture: Tensor) -> bool:
    """Of one in the middle, or of two side by side."""
    rgb = to_rgb(picture[:1])
    count = PEOPLE if rgb.shape[2] >= PEOPLE * rgb.shape[1] else 1
    people = crop_and_resize(rgb, count * SHORT_SIDE, SHORT_SIDE).split(SHORT_SIDE, dim=2)
    return all(is_drawn(person[0], vae.decode(vae.encode(person))[0, 0].to(person)) for person in people)


def word_notes(conditioning: list, said: str) -> list[str]:
    """What of the words the small model does not know; nothing where the caption is another model's."""
    if not any(SMALL_CAPTION in values for _, values in conditioning):
        return []
    return _unknown(said)


def script_notes(clip: Any, lines: Sequence[Line]) -> list[str]:
    """As `word_notes`, of a script whose captions this CLIP encodes."""
    if not isinstance(clip, TinyCaptionEncoder):
        return []
    return _unknown(" ".join(passage.words for line in lines for passage in line.passages))


def _unknown(said: str) -> list[str]:
    """Which of these words the small model does not know."""
    unknown = unknown_words(said)
    if not unknown:
        return []
    shown = ", ".join(unknown[:SHOWN_WORDS]) + (", …" if len(unknown) > SHOWN_WORDS else "")
    return [
        f"The small model cannot say: {shown}. It says sentences of {FEWEST_WORDS} to {MOST_WORDS} words, which are "
        "numbers to ten, colours, animals and greetings; the help of UniAVGen Tiny Loader lists them."
    ]
