"""Who is drawn: looks that follow from a seed, by kind of speaker."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from .canvas import Colour, colour_distance, mix

KINDS = ("man", "woman", "child", "grandfather")
"""Kinds of speaker. A kind has looks and a voice of its own."""


@dataclass(frozen=True)
class HeadShape:
    """Sizes of a head in pixels of the picture; y grows downwards. The face is centred at x = 64."""

    half_width: float
    top: float
    middle: float
    chin: float
    jaw: float
    """Exponent of the lower half's superellipse: 2 is round, more is square."""
    taper: float
    """Share by which the face is narrower at the chin."""
    eye_y: float
    eye_width: float
    """Half of the eye's width; the next one is half of its height."""
    eye_height: float
    brow_y: float
    brow_thickness: float
    nose_y: float
    nose_size: float
    mouth_scale: float
    lip_fullness: float
    shoulders: float
    """Half of the width of the shoulders."""


@dataclass(frozen=True)
class Person:
    """Everything about a drawn person that stays the same from frame to frame."""

    seed: int
    kind: str
    head: HeadShape
    skin: Colour
    hair: Colour
    hair_style: str
    eyes: Colour
    lips: Colour
    glasses: str
    """`none`, `round` or `square`."""
    beard: str
    """`none`, `stubble`, `short`, `full`, `moustache` or `goatee`."""
    shirt: Colour
    collar: str
    background: Colour
    backdrop: str
    mirrored: bool
    """The hair's parting and the backdrop are the other way round."""

    @classmethod
    def from_seed(cls, seed: int, kind: str | None = None) -> Person:
        """The person that a seed stands for.

        Args:
            seed: any integer.
            kind: one of KINDS; drawn from the seed too if None. It changes nothing else of the drawing of
                lots, so equal seeds of two kinds share skin, shirt and background.

        Raises:
            ValueError: an unknown kind.
        """
        random = Random(seed)
        drawn = random.choice(KINDS)
        kind = drawn if kind is None else kind
        if kind not in KINDS:
            raise ValueError(f"There is no kind of speaker {kind!r}. Kinds are: {', '.join(KINDS)}.")
        looks = _LOOKS[kind]
        skin = random.choice(SKINS)
        shirt = random.choice(SHIRTS)
        background = random.choice([colour for colour in BACKGROUNDS if colour_distance(colour, shirt) > 60])
        backdrop = random.choice(("plain", "circle", "split", "slope"))
        mirrored = random.random() < 0.5
        beard = random.choice(looks.beards)
        return cls(
            seed=seed,
            kind=kind,
            head=_draw_head(looks.head, random),
            skin=skin,
            hair=random.choice([colour for colour in looks.hairs if _stands_out(colour, skin, background)]),
            hair_style=random.choice(looks.hair_styles),
            eyes=random.choice(EYES),
            lips=mix(skin, random.choice(LIPS), looks.lip_strength),
            glasses=random.choices(("none", "round", "square"), (1 - looks.glasses, *[looks.glasses / 2] * 2))[0],
            beard=beard,
            shirt=shirt,
            collar=random.choice(looks.collars),
            background=background,
            backdrop=backdrop,
            mirrored=mirrored,
        )


@dataclass(frozen=True)
class _Looks:
    """What a kind chooses from."""

    head: HeadShape
    hairs: tuple[Colour, ...]
    hair_styles: tuple[str, ...]
    beards: tuple[str, ...]
    collars: tuple[str, ...]
    glasses: float
    """Share of people who wear some."""
    lip_strength: float


def _stands_out(hair: Colour, skin: Colour, background: Colour) -> bool:
    return min(colour_distance(hair, skin), colour_distance(hair, background)) > 55


def _draw_head(mean: HeadShape, random: Random) -> HeadShape:
    """A head of somewhat other sizes; the mouth stays where it is, so that the codec always finds it there."""
    return HeadShape(
        half_width=mean.half_width + random.uniform(-1.3, 1.3),
        top=mean.top + random.uniform(-1.5, 1.5),
        middle=mean.middle,
        chin=mean.chin + random.uniform(-1, 1.2),
        jaw=mean.jaw + random.uniform(-0.15, 0.25),
        taper=mean.taper + random.uniform(-0.04, 0.05),
        eye_y=mean.eye_y + random.uniform(-1, 1),
        eye_width=mean.eye_width + random.uniform(-0.4, 0.5),
        eye_height=mean.eye_height + random.uniform(-0.3, 0.5),
        brow_y=mean.brow_y + random.uniform(-0.7, 0.7),
        brow_thickness=mean.brow_thickness * random.uniform(0.85, 1.2),
        nose_y=mean.nose_y + random.uniform(-0.6, 0.6),
        nose_size=mean.nose_size * random.uniform(0.85, 1.2),
        mouth_scale=mean.mouth_scale,
        lip_fullness=mean.lip_fullness * random.uniform(0.88, 1.15),
        shoulders=mean.shoulders + random.uniform(-2, 2),
    )


# No colour here comes near the mouth's interior (`drawing.MOUTH_INTERIOR`), or openings could not be measured.
SKINS: tuple[Colour, ...] = (
    (252, 224, 202),
    (247, 210, 178),
    (238, 194, 154),
    (222, 172, 128),
    (198, 144, 102),
    (168, 116, 80),
    (142, 98, 70),
)
_DARK_HAIRS: tuple[Colour, ...] = ((40, 36, 38), (66, 50, 42), (98, 70, 48))
_LIGHT_HAIRS: tuple[Colour, ...] = ((144, 100, 58), (196, 108, 52), (226, 184, 104))
_WHITE_HAIRS: tuple[Colour, ...] = ((240, 240, 238), (206, 209, 214), (164, 168, 176))
EYES: tuple[Colour, ...] = ((84, 58, 40), (66, 112, 160), (84, 128, 84), (104, 112, 120))
LIPS: tuple[Colour, ...] = ((206, 78, 88), (214, 98, 104), (196, 84, 104))
SHIRTS: tuple[Colour, ...] = (
    (62, 108, 158),
    (46, 134, 130),
    (232, 112, 84),
    (240, 186, 76),
    (110, 150, 88),
    (124, 104, 168),
    (236, 236, 230),
    (70, 82, 104),
    (228, 138, 160),
)
BACKGROUNDS: tuple[Colour, ...] = (
    (188, 218, 236),
    (206, 228, 204),
    (248, 224, 186),
    (226, 212, 238),
    (246, 208, 204),
    (178, 222, 216),
    (216, 222, 230),
    (252, 236, 172),
)

_LOOKS = MappingProxyType(
    {
        "man": _Looks(
            head=HeadShape(
                half_width=32,
                top=24,
                middle=60,
                chin=107,
                jaw=2.85,
                taper=0.10,
                eye_y=61,
                eye_width=6.0,
                eye_height=4.3,
                brow_y=50.5,
                brow_thickness=3.6,
                nose_y=75,
                nose_size=1.15,
                mouth_scale=1.0,
                lip_fullness=0.8,
                shoulders=56,
            ),
            hairs=_DARK_HAIRS + _LIGHT_HAIRS,
            hair_styles=("parted", "quiff", "crop", "curls"),
            beards=("none", "stubble", "stubble", "short", "full", "full", "goatee"),
            collars=("shirt", "round", "jacket"),
            glasses=0.2,
            lip_strength=0.42,
        ),
        "woman": _Looks(
            head=HeadShape(
                half_width=30.6,
                top=26,
                middle=61,
                chin=105.5,
                jaw=2.15,
                taper=0.17,
                eye_y=62,
                eye_width=6.9,
                eye_height=5.2,
                brow_y=51.5,
                brow_thickness=1.9,
                nose_y=75,
                nose_size=0.8,
                mouth_scale=0.98,
                lip_fullness=1.3,
                shoulders=46,
            ),
            hairs=_DARK_HAIRS + _LIGHT_HAIRS,
            hair_styles=("straight", "waves", "bob", "locks"),
            beards=("none",),
            collars=("round", "low", "low"),
            glasses=0.2,
            lip_strength=0.9,
        ),
        "child": _Looks(
            head=HeadShape(
                half_width=33,
                top=37,
                middle=74,
                chin=105.5,
                jaw=2.1,
                taper=0.04,
                eye_y=70.5,
                eye_width=7.2,
                eye_height=7.0,
                brow_y=57.5,
                brow_thickness=1.8,
                nose_y=79.5,
                nose_size=0.62,
                mouth_scale=0.9,
                lip_fullness=0.85,
                shoulders=36,
            ),
            hairs=_DARK_HAIRS + _LIGHT_HAIRS,
            hair_styles=("bowl", "tufts", "pigtails", "mop"),
            beards=("none",),
            collars=("stripes", "round", "stripes"),
            glasses=0.1,
            lip_strength=0.5,
        ),
        "grandfather": _Looks(
            head=HeadShape(
                half_width=31.5,
                top=20,
                middle=60,
                chin=107.5,
                jaw=2.4,
                taper=0.08,
                eye_y=62,
                eye_width=5.6,
                eye_height=3.9,
                brow_y=51.5,
                brow_thickness=3.6,
                nose_y=76,
                nose_size=1.3,
                mouth_scale=0.97,
                lip_fullness=0.7,
                shoulders=50,
            ),
            hairs=_WHITE_HAIRS,
            hair_styles=("sides", "wisps", "strands"),
            beards=("moustache", "full", "full", "moustache", "goatee"),
            collars=("shirt", "jacket", "jacket"),
            glasses=0.7,
            lip_strength=0.4,
        ),
    }
)
