"""What ComfyUI does around a run: memory, previews, cancelling, context windows, and its nodes of sound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import comfy.cli_args
import comfy.conds
import comfy.model_base
import comfy.model_management
import comfy.utils
import latent_preview
import pytest
import torch
from clips import assert_kept, joint, refused, sample, windowed, with_areas
from comfy_extras.nodes_audio import VAEDecodeAudio, VAEEncodeAudio
from joint_kinds import JointKind
from pack.nodes.comfy_codecs import AudioCodec, cpu_device
from pack.uniavgen_core.audio.vocoder import GriffinLim


@pytest.fixture
def codec() -> AudioCodec:
    """The audio VAE."""
    return AudioCodec(GriffinLim(), cpu_device())


def test_core_nodes_encode_and_decode_sound(codec: AudioCodec) -> None:
    latent = joint(frames=5)
    audio = latent["samples"].unbind()[1]
    tone = torch.sin(torch.arange(48000) * 0.06).view(1, 1, -1).repeat(1, 2, 1) * 0.2
    audio[:, :, :100] = VAEEncodeAudio.execute(codec, {"waveform": tone, "sample_rate": 48000})[0]["samples"]
    decoded = VAEDecodeAudio.execute(codec, latent)[0]
    assert decoded["sample_rate"] == 24000
    assert decoded["waveform"].shape == (1, 1, audio.shape[2] * 240)
    assert codec.decode_tiled(latent["samples"], 64, overlap=16).shape == (1, audio.shape[2] * 240, 1)


def test_video_is_no_sound(codec: AudioCodec, latent: dict) -> None:
    with refused("VAE Decode Audio"):
        codec.decode(latent["samples"].unbind()[0])


@pytest.mark.parametrize("change", [dict, with_areas], ids=["a first frame", "areas"])
def test_context_windows_run(patcher: Any, change: Callable) -> None:
    latent = change(joint(frames=8, width=64, height=64))
    assert_kept(latent, sample(windowed(patcher), latent, 2))


def test_a_context_window_of_eighty_frames_keeps_the_reference_voice(patcher: Any) -> None:
    latent = joint(frames=80, width=32, height=32)
    voice_mel = comfy.conds.CONDRegular(torch.zeros(1, 230, 80))
    resize = patcher.model.resize_cond_for_context_window
    assert resize("reference_audio", voice_mel, None, latent, "cpu") is voice_mel


def test_a_cancel_stops_in_mid_step(kind: JointKind) -> None:
    patcher, latent = kind.model(), kind.latent(3)

    def cancel(*args: Any) -> None:
        comfy.model_management.interrupt_current_processing(True)

    steps_done: list[int] = []
    dit = patcher.model.diffusion_model
    cancelling = dit.blocks[1].ffn[0].register_forward_hook(cancel)
    dit.head.register_forward_hook(lambda *args: steps_done.append(1))
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        kind.sample(patcher, latent, 4)
    assert steps_done == []
    cancelling.remove()
    kind.sample(patcher, latent, 2)


def test_preview_shows_the_picture(kind: JointKind, monkeypatch: pytest.MonkeyPatch) -> None:
    patcher, latent = kind.model(), kind.latent(3)
    method = latent_preview.LatentPreviewMethod.Latent2RGB
    monkeypatch.setattr(latent_preview, "default_preview_method", method)
    monkeypatch.setattr(comfy.cli_args.args, "preview_method", method)
    previewer = latent_preview.get_previewer(torch.device("cpu"), patcher.model.latent_format)
    decode, sizes = type(previewer).decode_latent_to_preview, []

    def noting(self: Any, x0: torch.Tensor) -> Any:
        image = decode(self, x0)
        sizes.append(image.size)
        return image

    monkeypatch.setattr(type(previewer), "decode_latent_to_preview", noting)
    kind.sample(patcher, latent, 3)
    rows, columns = latent["samples"].unbind()[0].shape[3:]
    assert sizes == [(columns, rows)] * 3


def test_memory_is_estimated_by_positions(kind: JointKind) -> None:
    patcher = kind.model()
    video, audio = kind.latent(21)["samples"].unbind()
    packed = comfy.utils.pack_latents([video, audio])[0].shape
    positions = math.prod(video.shape[2:]) + audio.numel() / kind.channels
    wanted = comfy.model_base.BaseModel.memory_required(patcher.model, [1, 1, positions])
    assert patcher.model.memory_required([1, *packed[1:]]) == pytest.approx(wanted, rel=1e-9)
