"""HDR video to the colours of an ordinary screen: HLG and PQ (ITU-R BT.2100), wide primaries (BT.2020, Display P3)."""

from __future__ import annotations

import torch
from torch import Tensor

PQ, HLG = 16, 18
"""Transfer functions by their numbers in H.273."""
TO_BT709 = {
    9: ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730)),
    12: ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
}
"""Linear BT.2020 (ITU-R BT.2087) and Display P3 to BT.709, by the primaries' numbers in H.273."""
BT2020_LUMINANCE = (0.2627, 0.6780, 0.0593)
SCREEN_NITS = 203
"""White of the ordinary screen: where BT.2408 puts HDR's reference white."""
PEAK_NITS = 1000
"""Of the screen that HDR video is made for."""
PQ_NITS = 10_000


def is_wide(transfer: int, primaries: int) -> bool:
    """Whether values with these tags must be converted before they can be shown as ordinary ones."""
    return transfer in (PQ, HLG) or primaries in TO_BT709


def to_screen(pixels: Tensor, transfer: int, primaries: int) -> Tensor:
    """Values 0..1 (…, 3) of a video as sRGB.

    HDR is brought into the screen's range with the curve of ITU-R BT.2390, section 5.4.1, of the largest component:
    what is below half of the screen's light stays, what is above is compressed, and no colour changes its hue.
    """
    if transfer in (PQ, HLG):
        light = _pq_light(pixels) if transfer == PQ else _hlg_light(pixels)
        largest = light.amax(dim=-1, keepdim=True).clamp_min(1e-6)
        light = light * (_compressed(largest) / largest / SCREEN_NITS)
    else:
        light = torch.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055).clamp_min(0) ** 2.4)
    if primaries in TO_BT709:
        light = light @ light.new_tensor(TO_BT709[primaries]).T
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _pq_light(pixels: Tensor) -> Tensor:
    """Light in nits of PQ values (BT.2100, table 4)."""
    root = pixels.clamp(0, 1) ** (32 / 2523)
    return PQ_NITS * ((root - 107 / 128).clamp_min(0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305)


def _pq_value(nits: Tensor) -> Tensor:
    """PQ values of light in nits."""
    root = (nits / PQ_NITS) ** (1305 / 8192)
    return ((107 / 128 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)


def _hlg_light(pixels: Tensor) -> Tensor:
    """Light in nits of HLG values on a screen of PEAK_NITS (BT.2100, table 5: system gamma 1.2)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    pixels = pixels.clamp(0, 1)
    scene = torch.where(pixels <= 0.5, pixels.square() / 3, (((pixels - c) / a).exp() + b) / 12)
    luminance = (scene * scene.new_tensor(BT2020_LUMINANCE)).sum(dim=-1, keepdim=True)
    return PEAK_NITS * scene * luminance.clamp_min(1e-9) ** 0.2


def _compressed(nits: Tensor) -> Tensor:
    """Light up to PEAK_NITS, compressed to SCREEN_NITS (BT.2390, section 5.4.1, without the lift of black)."""
    peak, screen = (float(_pq_value(torch.tensor(float(end)))) for end in (PEAK_NITS, SCREEN_NITS))
    highest = screen / peak
    knee = 1.5 * highest - 0.5
    value = (_pq_value(nits) / peak).clamp(max=1)
    fraction = ((value - knee) / (1 - knee)).clamp_min(0)
    square, cube = fraction**2, fraction**3
    curve = (2 * cube - 3 * square + 1) * knee + (cube - 2 * square + fraction) * (1 - knee)
    curve = curve + (3 * square - 2 * cube) * highest
    return torch.where(value < knee, nits, _pq_light(curve * peak))
