"""A cut that is seen and not heard: the room tone of two scenes goes on from one into the other.

Room tone is what is heard where nobody speaks. Of two scenes, the louder one's goes on beyond the cut under the softer
one and fades there, so that the background neither stops nor sets in. No word is changed: tone is only added to it, but
for the last hundredths of a second, which are faded into the new scene.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import SAMPLE_RATE
from .seams import CROSSFADE_SECONDS, SILENT_RMS

TONE_SECONDS = 0.2
"""How long a stretch of silence is that shows the room tone."""
FADE_SECONDS = 0.75
"""How far room tone goes on over a cut."""
TONE_BELOW_DB = 20.0
"""Room tone is so far below the loud parts, or it is a voice."""


def room_tone(waveform: Tensor) -> Tensor:
    """The softest stretch of a sound (samples); no samples where somebody speaks, or there is no sound, all along."""
    length = round(TONE_SECONDS * SAMPLE_RATE)
    if len(waveform) < length:
        return waveform[:0]
    power = waveform.double().square().unfold(0, length, length // 4).mean(dim=-1)
    softest = int(power.argmin())
    is_tone = SILENT_RMS**2 / 100 < power[softest] < power.max() * 10 ** (-TONE_BELOW_DB / 10)
    start = softest * (length // 4)
    return waveform[start : start + length] if is_tone else waveform[:0]


def over_cut(before: Tensor, after: Tensor, held: int) -> tuple[Tensor, Tensor]:
    """The sound of the segments (samples) before and after a cut: of the former its last samples, so many."""
    tones = room_tone(before), room_tone(after)
    powers = [float(tone.square().mean()) if len(tone) else 0.0 for tone in tones]
    end, start = before[len(before) - held :].clone(), after.clone()
    louder = int(powers[1] > powers[0])
    if powers[louder]:
        # Powers add up: at the cut both sides are as loud as the louder one.
        missing = 1 - powers[1 - louder] / powers[louder]
        side = end.flip(0) if louder else start
        length = min(round(FADE_SECONDS * SAMPLE_RATE), len(side))
        fade = torch.linspace(1, 0, length + 1)[:-1]
        side[:length] += _going_on(tones[louder], length) * (missing * fade).sqrt()
        end, start = (side.flip(0), start) if louder else (end, side)
    # The new scene's first moment, backwards, leads to its first sample.
    edge = min(round(CROSSFADE_SECONDS / 2 * SAMPLE_RATE), len(end), len(start))
    fade_in = torch.linspace(0, 1, edge + 1)[1:]
    leading = start[:edge].flip(0) * fade_in + end[len(end) - edge :] * (1 - fade_in.square()).sqrt()
    return torch.cat((end[: len(end) - edge], leading)), start


def _going_on(tone: Tensor, samples: int) -> Tensor:
    """Room tone for so many samples: forwards and backwards in turn, so that nothing jumps."""
    there_and_back = torch.cat((tone, tone.flip(0)))
    return there_and_back.repeat(-(-samples // len(there_and_back)))[:samples]
