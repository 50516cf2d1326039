"""New lips in a video: what Latent makes of it, what is sampled, and what goes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from clips import EULER, GUIDANCE, assert_kept, chirp, conditions, latent_of, pictures, refused, sample
from comfy_api.latest import InputImpl, Types
from comfy_extras.nodes_custom_sampler import Noise_RandomNoise
from pack.nodes import comfy_latent, faces, long_form
from pack.nodes.conditioning import Conditioning
from pack.nodes.loaders import TinyLoader
from pack.nodes.long_form import LongForm, Script
from pack.nodes.put_backs import PutBackNode
from pack.nodes.sampling import Guider
from pack.uniavgen_core.files import NotInstalledError
from pack.uniavgen_core.media.muxing import write_video
from pack.uniavgen_core.sampling.schedule import flow_sigmas

FRAMES, RATE = 40, 25.0


def mouth() -> torch.Tensor:
    """A MASK in the lower right corner: of a clip twice as large, four tokens of sixteen with its soft edge."""
    mask = torch.zeros(1, 64, 64)
    mask[:, 50:63, 50:63] = 1
    return mask


def resync(**inputs: Any) -> dict:
    """The LATENT of the task."""
    task = {"task": "resync", "video": pictures(FRAMES), "frame_rate": RATE, "mask": mouth(), "seconds": 0.0}
    return latent_of(task | inputs, 128, 128)


@pytest.mark.parametrize("way", ["recording", "words"])
def test_tokens_of_the_region_and_the_new_sound_are_made(patcher: Any, way: str) -> None:
    given = {"audio": chirp(1.2)} if way == "recording" else {"conditioning": conditions()[0]}
    latent = resync(**given)
    kept = comfy_latent.kept_parts(latent)
    in_frame = tuple(token not in (10, 11, 14, 15) for token in range(16))
    assert kept.video == (True, *[in_frame] * 7) and kept.all_audio == (way == "recording")
    sampled = sample(patcher, latent, 2, conds=conditions(speech="" if way == "recording" else "Hello"))
    assert_kept(latent, sampled)


@pytest.mark.parametrize("kind", ["frames", "file"])
def test_new_lips_go_back_into_the_video(tmp_path: Path, kind: str) -> None:
    video: Any = pictures(FRAMES)
    if kind == "file":
        write_video(tmp_path / "clip.mp4", video, RATE, chirp(1.6)["waveform"][0], 44_100)
        video = InputImpl.VideoFromFile(str(tmp_path / "clip.mp4"))
    latent = resync(video=video, audio=chirp(1.2))
    images = torch.zeros(29, 128, 128, 3)
    made = PutBackNode.execute(latent, video, images, RATE, 16.0, chirp(1.2))[0].get_components()
    assert made.images.shape == (FRAMES, 64, 64, 3) and made.frame_rate == RATE
    assert made.audio["waveform"].shape[-1] == pytest.approx(1.6 * made.audio["sample_rate"], abs=2048)
    before = video if kind == "frames" else video.get_components().images
    changed = (made.images - before).abs().amax(dim=-1)
    assert changed[10:, 54:58, 54:58].mean() > 0.08
    # What is encoded again is not bit for bit the same.
    limit = 0 if kind == "frames" else 0.04
    assert changed[:, :36].mean() <= limit and changed[:2].mean() <= limit


def test_the_videos_own_sound_stays_where_no_other_is_given() -> None:
    parts = Types.VideoComponents(images=pictures(FRAMES), audio=chirp(1.6), frame_rate=25)
    video = InputImpl.VideoFromComponents(parts)
    latent = resync(video=video, audio=chirp(1.2))
    made = PutBackNode.execute(latent, video, torch.zeros(29, 128, 128, 3), RATE, 16.0)[0].get_components()
    assert torch.equal(made.audio["waveform"], chirp(1.6)["waveform"])


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        ({}, ("needs what is said now", "audio", "conditioning")),
        ({"audio": chirp(2.0)}, ("audio lasts 2.00 seconds, the video 1.60", "trim the sound")),
        ({"audio": {"waveform": torch.zeros(1, 1, 44_100), "sample_rate": 44_100}}, ("audio is silent",)),
        ({"audio": None}, ("audio is missing",)),
        ({"audio": chirp(1.0), "mask": torch.zeros(1, 64, 64)}, ("mask is empty",)),
        ({"audio": chirp(1.0), "mask": torch.ones(1, 64, 96)}, ("mask has 96 × 64 pixels, the video 64 × 64",)),
        ({"audio": chirp(1.0), "mask": torch.ones(9, 64, 64)}, ("mask holds 9 masks, the video 40 frames",)),
        ({"audio": chirp(1.0), "video": pictures(600)}, ("video lasts 24.00 seconds", "UniAVGen Long Form")),
    ],
)
def test_what_cannot_be_done_is_refused_before_sampling(inputs: dict, parts: tuple[str, ...]) -> None:
    with refused(*parts):
        resync(**inputs)


def test_without_a_mask_the_mouth_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with refused("Connect a mask of the mouth and the chin to mask", "YuNet"):
        resync(audio=chirp(1.0), mask=None)
    monkeypatch.setattr(faces, "_known_detectors", lambda: [tmp_path / "face_detection_yunet_2023mar.onnx"])
    with pytest.raises((NotInstalledError, ValueError, FileNotFoundError)):
        resync(audio=chirp(1.0), mask=None)


def test_what_goes_back_must_belong_to_the_video() -> None:
    latent = resync(audio=chirp(1.0))
    with refused("images holds 58 frames", "batch_size"):
        PutBackNode.execute(latent, pictures(FRAMES), torch.zeros(58, 128, 128, 3), RATE, 16.0)
    dubbing = latent_of({"task": "dubbing", "video": pictures(FRAMES), "frame_rate": RATE})
    with refused("latent does not say where it belongs", "task resync"):
        PutBackNode.execute(dubbing, pictures(FRAMES), torch.zeros(29, 128, 128, 3), RATE, 16.0)


def test_long_form_puts_new_lips_into_a_longer_video(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LongForm, "hidden", None, raising=False)
    monkeypatch.setattr(long_form, "graph_key", lambda hidden, files: "lips")
    model, clip, vae, audio_vae = TinyLoader.execute().result
    captions = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("A woman speaks.", "")]
    positive, negative = Conditioning.execute(*captions, speech="", language="auto", reference_transcript="").result
    video = pictures(70)
    latent = resync(video=video, seconds=1.3, audio=chirp(2.5), mask=mouth())
    guider = Guider.execute(model, positive, negative, **GUIDANCE)[0]
    given = (guider, EULER, flow_sigmas(1), Noise_RandomNoise(7), latent, vae, audio_vae)
    script = Script.execute(clip, "A woman speaks. |")[0]
    with refused("connect the sound to recording"):
        LongForm.execute(*given, script, 0.0, 1.0, 3)
    made, told, _ = LongForm.execute(*given, script, 0.0, 1.0, 3, recording=chirp(2.5), keep=False).result
    parts = made.get_components()
    assert parts.images.shape == video.shape and parts.frame_rate == RATE and "3" in told
    # Of the colours of noise, H.264 keeps little.
    brightness = torch.tensor([0.2126, 0.7152, 0.0722])
    changed = ((parts.images - video) @ brightness).abs()
    assert changed[:, :36].mean() < 0.04
