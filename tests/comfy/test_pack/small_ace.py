"""ComfyUI's own codec of ACE-Step at small size with random weights, and what stands for its text encoder.

The real ones are gigabytes; their sizes cannot be read off a file, so that the small ones are put in their place.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
from torch import nn

import comfy.sd
from comfy.ldm.ace.vae.music_dcae_pipeline import MusicDCAE

CHANNELS = (32, 32, 32, 32)
SMALL = {
    "dcae_config": {
        "encoder_block_out_channels": CHANNELS,
        "decoder_block_out_channels": CHANNELS,
        "encoder_layers_per_block": (1, 1, 1, 1),
        "decoder_layers_per_block": (1, 1, 1, 1),
    },
    "vocoder_config": {
        "depths": [1, 1, 1, 1],
        "dims": [8, 8, 8, 16],
        "num_mels": 16,
        "upsample_initial_channel": 128,
    },
}
SOUND_WIDTH = 768
DEVIATION = 0.1
"""Of the sound of random latents; the first weights make silence."""


@torch.no_grad()
def small_ace_vae() -> Any:
    """A VAE in which ComfyUI has read the small codec."""
    torch.manual_seed(0)
    codec = MusicDCAE(source_sample_rate=44100, **SMALL)
    for name, parameter in codec.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.ones_(parameter)
    before = codec.decode(torch.randn(1, 8, 16, 2)).std()
    codec.vocoder.head.conv_post.parametrizations.weight.original0 *= DEVIATION / before
    # ComfyUI makes the codec without sizes of its own.
    with patch.object(MusicDCAE.__init__, "__defaults__", (None, *SMALL.values())):
        return comfy.sd.VAE(sd=codec.state_dict())


class WordRows:
    """In the form of ACE-Step's CLIP: a random row for each word, and one for the end."""

    def tokenize(self, text: str, lyrics: str = "") -> dict[str, Any]:
        return {"umt5base": text.split(), "lyrics": []}

    def encode_from_tokens_scheduled(self, tokens: dict[str, Any]) -> list:
        generators = [torch.Generator().manual_seed(len(word)) for word in tokens["umt5base"]]
        rows = [torch.randn(SOUND_WIDTH, generator=generator) for generator in generators]
        return [[torch.stack([*rows, torch.ones(SOUND_WIDTH)]).unsqueeze(0), {}]]
