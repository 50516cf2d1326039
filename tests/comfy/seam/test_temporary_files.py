"""Videos in temp and what is asked before work: files go with their VIDEO, and what is too much is refused."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import comfy.model_management
import pytest
import torch
from clips import refused
from comfy_api.latest import Input
from pack.nodes.comfy_codecs import AudioCodec, cpu_device
from pack.nodes.comfy_long_form import check_audio_vae
from pack.nodes.comfy_progress import check_memory
from pack.nodes.latents import SOURCES, LatentInputs
from pack.nodes.temporary import TemporaryVideo, temporary_path
from pack.uniavgen_core.audio.vocoder import GriffinLim
from pack.uniavgen_core.media.muxing import write_video


def made_video() -> tuple[Path, TemporaryVideo]:
    path = temporary_path(".mp4")
    write_video(path, torch.zeros(32, 32, 32, 3), 16)
    return path, TemporaryVideo(path)


def test_a_file_goes_with_its_video() -> None:
    path, video = made_video()
    trimmed = video.as_trimmed(0.0, 1.0, strict_duration=False)
    del video
    gc.collect()
    assert path.is_file() and trimmed.get_components().images.shape[0] == 16
    del trimmed
    gc.collect()
    assert not path.exists()


class ForeignVideo(Input.Video):
    """Of another pack: it knows its length, and its frames are too many to be asked for."""

    def get_duration(self) -> float:
        return 3600.0

    def get_components(self) -> Any:
        raise AssertionError("its frames are asked for")

    save_to = as_trimmed = get_components


def test_a_video_of_any_kind_is_asked_how_long_it_is() -> None:
    given = LatentInputs(None, ForeignVideo(), None, None, 0.0, 16.0, 3, {"size": "auto"})
    with refused("3600.00 seconds", "UniAVGen Long Form"):
        SOURCES["dubbing"](given, "dubbing")


def test_another_models_audio_vae_is_refused() -> None:
    codec = AudioCodec(GriffinLim(), cpu_device())
    check_audio_vae(codec)
    codec.latent_channels = 8
    with refused("audio_vae", "UniAVGen Audio Codec Loader"):
        check_audio_vae(codec)


def test_what_memory_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda device: 1e9)
    check_memory("past", 1e9, "20 frames")
    with refused("past", "57,600 frames", "637.0 GB", "1.0 GB are free"):
        check_memory("past", 637e9, "57,600 frames")
