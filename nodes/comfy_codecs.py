"""Codecs of the pack in the form of ComfyUI's VAE and CLIP, with memory left to ComfyUI."""

from __future__ import annotations

from typing import Any

import comfy.latent_formats
import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from torch import Tensor, nn

from ..uniavgen_core.audio.mel import log_mel
from ..uniavgen_core.config import (
    HOP_LENGTH,
    LATENT_CHANNELS,
    MEL_BANDS,
    SAMPLE_RATE,
    SPATIAL_COMPRESSION,
    TEMPORAL_COMPRESSION,
)
from ..uniavgen_core.media.waveforms import to_mono
from ..uniavgen_core.tiny.caption import CaptionEncoder
from ..uniavgen_core.tiny.codec import Codec

BYTES_A_MEL_FRAME = 4 * HOP_LENGTH * 64
"""What a vocoder holds for one mel frame: some layers of the sound's own length."""
BYTES_A_PIXEL = 4 * 64
"""What the small codec holds for one pixel of one frame."""


SMALL_CAPTION = "uniavgen_small_caption"
"""What a CONDITIONING of the small model's caption encoder holds."""


def cpu_device() -> torch.device:
    """Where codecs run that need the CPU."""
    return torch.device("cpu")


def vae_device() -> torch.device:
    """Where ComfyUI runs codecs."""
    return comfy.model_management.vae_device()


class HostedModule:
    """A module whose place in memory is ComfyUI's affair."""

    def __init__(self, module: nn.Module, load_device: torch.device):
        self.first_stage_model = module.eval().requires_grad_(False)
        self.device = load_device
        self.output_device = comfy.model_management.intermediate_device()
        self.patcher = comfy.model_patcher.ModelPatcher(
            module, load_device=load_device, offload_device=comfy.model_management.vae_offload_device()
        )

    def run(self, function: Any, x: Tensor, memory: float) -> Tensor:
        """function(x) on the module's device, with this many bytes free for it."""
        comfy.model_management.load_models_gpu([self.patcher], memory_required=memory, force_full_load=True)
        return function(x.to(self.device)).to(self.output_device)

    def get_sd(self) -> dict[str, Tensor]:
        return self.first_stage_model.state_dict()


class AudioCodec(HostedModule):
    """Sound to natural-log mel and back, for the core audio nodes. It neither scales nor normalises."""

    audio_sample_rate = audio_sample_rate_output = SAMPLE_RATE
    latent_channels = 1

    def encode(self, waveform: Tensor) -> Tensor:
        """Log-mel (batch, 1, tokens, 80) of a waveform (batch, samples, channels)."""
        return log_mel(to_mono(waveform.movedim(-1, 1), SAMPLE_RATE)).unsqueeze(1).to(self.output_device)

    def decode(self, latent: Tensor) -> Tensor:
        """Waveform (batch, samples, 1) of log-mel (batch, 1, tokens, 80)."""
        mel = _mel_of(latent)
        return self.run(self.first_stage_model, mel, mel.shape[:2].numel() * BYTES_A_MEL_FRAME).unsqueeze(-1)

    def decode_tiled(self, latent: Tensor, tile_x: int = 512, tile_y: int = 512, overlap: int = 64) -> Tensor:
        """As `decode`, a number of mel frames at a time."""

        def decode_tile(tile: Tensor) -> Tensor:
            rows = tile.transpose(1, 2)
            return self.run(self.first_stage_model, rows, rows.shape[1] * BYTES_A_MEL_FRAME).unsqueeze(1)

        mel = _mel_of(latent).transpose(1, 2)
        waveform = comfy.utils.tiled_scale_multidim(
            mel, decode_tile, tile=(tile_x,), overlap=overlap, upscale_amount=HOP_LENGTH, out_channels=1,
            output_device=self.output_device,
        )  # fmt: skip
        return waveform.transpose(1, 2)


def _mel_of(latent: Any) -> Tensor:
    """Mel (batch, tokens, 80) of a latent. Until ComfyUI 0.27 VAEDecodeAudio hands over a joint one as it is."""
    stream = latent.unbind()[-1] if latent.is_nested else latent
    if stream.ndim != 4 or stream.shape[1] != 1 or stream.shape[3] != MEL_BANDS:
        raise ValueError(
            f"The audio VAE decodes the sound of UniAVGen's latents, not a latent of {tuple(stream.shape)}: connect it "
            "to VAE Decode Audio, and the Wan 2.2 VAE to VAE Decode."
        )
    return stream.flatten(0, 1).float()


class TinyVideoCodec(HostedModule):
    """The small model's picture codec in the form of the Wan 2.2 VAE: its latents are denormalised as that one's."""

    latent_channels = LATENT_CHANNELS
    latent_dim = 3

    def __init__(self, codec: Codec):
        super().__init__(codec, vae_device())
        self.codec = codec
        self.latent_format = comfy.latent_formats.Wan22()

    def encode(self, pixels: Tensor) -> Tensor:
        """Latent (1, 48, T, h, w) of frames (F, H, W, 3)."""
        height, width = (size // SPATIAL_COMPRESSION * SPATIAL_COMPRESSION for size in pixels.shape[1:3])
        frames = pixels[:, :height, :width, :3].float()
        latent = self.run(self.codec.encode_frames, frames, pixels.shape[:3].numel() * BYTES_A_PIXEL)
        return self.latent_format.process_out(latent)

    def decode(self, latent: Tensor) -> Tensor:
        """Frames (batch, F, H, W, 3) of a latent (batch, 48, T, h, w)."""
        if latent.ndim != 5 or latent.shape[1] != LATENT_CHANNELS:
            raise ValueError(
                f"This VAE decodes the picture of UniAVGen's latents, not a latent of {tuple(latent.shape)}: connect "
                "it to VAE Decode, and the audio VAE to VAE Decode Audio."
            )
        positions = latent.shape[0] * latent.shape[2:].numel()
        memory = positions * TEMPORAL_COMPRESSION * SPATIAL_COMPRESSION**2 * BYTES_A_PIXEL
        normalised = self.latent_format.process_in(latent.float())
        return self.run(self.codec.decode_frames, normalised, memory)

    def encode_tiled(self, pixels: Tensor, **tiles: Any) -> Tensor:
        """As `encode`: the small model's pictures need no tiles."""
        return self.encode(pixels)

    def decode_tiled(self, latent: Tensor, **tiles: Any) -> Tensor:
        """As `decode`: the small model's pictures need no tiles."""
        return self.decode(latent)

    def temporal_compression_decode(self) -> int:
        return TEMPORAL_COMPRESSION

    def spacial_compression_decode(self) -> int:
        return SPATIAL_COMPRESSION

    spacial_compression_encode = spacial_compression_decode


class TinyCaptionEncoder(HostedModule):
    """The small model's caption encoder in the form of CLIP, as far as text nodes use it."""

    def __init__(self, encoder: CaptionEncoder):
        super().__init__(encoder, comfy.model_management.text_encoder_device())
        self.encoder = encoder

    def clone(self) -> TinyCaptionEncoder:
        return self

    def tokenize(self, text: str, **options: Any) -> list[int]:
        return self.encoder.tokenize(text)

    def encode_from_tokens_scheduled(self, tokens: list[int], **options: Any) -> list[list[Any]]:
        rows = self.run(self.first_stage_model, torch.tensor([tokens]), memory=len(tokens) ** 2 * 64)
        return [[rows, {"pooled_output": None, SMALL_CAPTION: True}]]
