"""What is written into pictures: labels, and the fonts of them and of others' words.

The font is Pillow's own, or one of the system's that has Chinese letters too, looked for by the names that systems give
theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

FONTS = (
    "NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "msyh.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc",
    "wqy-microhei.ttc", "wqy-zenhei.ttc", "SourceHanSansSC-Regular.otf", "simsun.ttc",
)  # fmt: skip
"""Of Chinese, on Linux, Windows and macOS; Pillow's own has Latin letters only."""
LATIN = "\u02af"
"""The last letter that Pillow's own font may be asked for."""
TEXT_SHARE = 0.6
"""Of a label's height."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font_of(text: str, pixels: float) -> Font | None:
    """A font of a size that has the letters of a text; None where none is found."""
    if all(sign <= LATIN or not sign.isalpha() for sign in text):
        return ImageFont.load_default(pixels)
    for name in FONTS:
        try:
            return ImageFont.truetype(name, pixels)
        except OSError:
            continue
    return None


def label_image(text: str, width: int, height: int) -> Tensor:
    """A text in one line, white on black (1, height, width, 3), as large as fits."""
    text = " ".join(text.split())
    image = Image.new("RGB", (width, height))
    size = max(1, int(height * TEXT_SHARE))
    length = _font(text, size).getlength(text)
    fitting = max(1, int(size * min(1.0, 0.95 * width / max(1.0, length))))
    draw = ImageDraw.Draw(image)
    draw.text((width / 2, height / 2), text, fill="white", font=_font(text, fitting), anchor="mm")
    pixels: Sequence[int] = bytearray(image.tobytes())
    return torch.frombuffer(pixels, dtype=torch.uint8).view(1, height, width, 3).float().div(255)


def _font(text: str, pixels: int) -> Font:
    """As `font_of`; where there is none, Pillow's own shows boxes."""
    return font_of(text, pixels) or ImageFont.load_default(pixels)
