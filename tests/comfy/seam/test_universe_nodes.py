"""The nodes of UniVerse-1: what they make of image, texts and sound, and what they refuse."""

from __future__ import annotations

from typing import Any

import comfy.sd
import pytest
import torch
from clips import refused, warnings_of_ours
from pack.nodes.comfy_universe import LINKED, SOUND_ROWS, SPEECH_IDS
from pack.nodes.universe import UniverseConditioning, UniverseLatent, UniverseSchedule, UniverseSoundDecode
from pack.tests.comfy.test_pack.small_ace import small_ace_vae
from pack.uniavgen_core.universe1.stitched_latent import universe_shapes
from stitched_clips import picture_latent

SPEECH = "You make me happy when the clouds are gray"
CAPTIONS = ([[torch.ones(1, 512, 64), {}]], [[torch.zeros(1, 512, 64), {}]])


class PictureVAE:
    """In the form of the Wan 2.1 VAE: the mean of each 8 × 8 pixels, in all channels."""

    latent_dim = 3

    def __init__(self, channels: int = 16):
        self.latent_channels = channels

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        means = torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1).mean(dim=1, keepdim=True), 8)
        return means.movedim(0, 1).unsqueeze(0).expand(-1, self.latent_channels, -1, -1, -1)


class SoundVAE:
    """In the form of ACE-Step's: each sample is its own number."""

    latent_channels = 8

    def __init__(self, column: int = 4096):
        self.column = column

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        samples = torch.arange(latent.shape[-1] * self.column, dtype=torch.float32)
        return samples.view(1, -1, 1).repeat(latent.shape[0], 1, 2)


class SoundEncoder:
    """In the form of ACE-Step's CLIP: a row for each word, and one for the end."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def tokenize(self, text: str, lyrics: str = "") -> dict[str, Any]:
        self.texts.append(text)
        return {"umt5base": text.split(), "lyrics": []}

    def encode_from_tokens_scheduled(self, tokens: dict[str, Any]) -> list:
        return [[torch.ones(1, len(tokens["umt5base"]) + 1, 768), {}]]


class OtherEncoder(SoundEncoder):
    def tokenize(self, text: str, **options: Any) -> Any:
        return {"umt5xxl": text.split()}


def make_latent(columns: int, rows: int, **changes: Any) -> dict[str, Any]:
    image = torch.rand(1, rows, columns, 3, generator=torch.Generator().manual_seed(1))
    settings = {"vae": PictureVAE(), "seconds": 5.0, "size": "auto", "fit": "stretch", "batch_size": 1}
    return UniverseLatent.execute(image=image, **settings | changes)[0]


def conditioning(speech: str = SPEECH, sound: str = "rain\nsoft piano", clip: Any = None) -> Any:
    return UniverseConditioning.execute(*CAPTIONS, clip or SoundEncoder(), sound, speech, "auto")


@pytest.mark.parametrize(
    ("columns", "rows", "size"), [(90, 60, (768, 480)), (60, 90, (480, 768)), (80, 72, (512, 512))]
)
def test_the_size_is_the_nearest_of_three(columns: int, rows: int, size: tuple[int, int]) -> None:
    latent = make_latent(columns, rows)
    assert [tuple(stream.shape) for stream in latent["samples"].unbind()] == [*universe_shapes(32, *size)]
    video_mask, audio_mask = latent["noise_mask"].unbind()
    assert not video_mask[:, :, 0].any() and video_mask[:, :, 1:].all() and audio_mask.all()


@pytest.mark.parametrize(("seconds", "frames"), [(0.04, 1), (1.0, 7), (5.0, 32), (5.04, 33), (10.12, 64)])
def test_the_length_is_rounded_up_to_whole_latent_frames(seconds: float, frames: int) -> None:
    video, audio = make_latent(64, 64, seconds=seconds, batch_size=2)["samples"].unbind()
    assert video.shape[2] == audio.shape[3] == frames and len(video) == len(audio) == 2


def test_a_picture_of_another_shape_is_stretched_with_a_note_or_cropped() -> None:
    with warnings_of_ours() as said:
        stretched = make_latent(400, 200, size="512 × 512")
    assert len(said) == 1 and "stretched to 512 × 512" in said[0]
    with warnings_of_ours() as said:
        cropped = make_latent(400, 200, size="512 × 512", fit="crop")
    assert said == []
    first, second = (latent["samples"].unbind()[0][0, 0, 0] for latent in (stretched, cropped))
    assert not torch.allclose(first, second, atol=1e-3)


def test_another_vae_and_another_length_are_refused() -> None:
    with refused("48 channels", "wan_2.1_vae"):
        make_latent(64, 64, vae=PictureVAE(48))
    with refused("more than UniVerse-1 takes", "10.12"):
        make_latent(64, 64, seconds=11.0)


def test_both_rows_hold_as_many_values() -> None:
    clip = SoundEncoder()
    positive, negative = conditioning(clip=clip).args
    values, null = positive[0][1], negative[0][1]
    assert clip.texts == ["rain, soft piano"]
    assert values[SPEECH_IDS][0, :4].tolist() == [261, 259, 74, 2] and values[SPEECH_IDS].dtype == torch.int64
    assert values[SOUND_ROWS].any() and values[LINKED] and not null[LINKED]
    for name in (SOUND_ROWS, SPEECH_IDS):
        assert null[name].shape == values[name].shape and not null[name].any()


def test_nothing_said_and_nothing_heard() -> None:
    values = conditioning("", "none")[0][0][1]
    assert values[SPEECH_IDS].tolist() == [[0] * 32]
    assert values[SOUND_ROWS].shape == (1, 1, 768)


def test_empty_texts_are_named() -> None:
    with warnings_of_ours() as texts:
        conditioning()
    assert texts == []
    with warnings_of_ours() as texts:
        UniverseConditioning.execute(CAPTIONS[1], CAPTIONS[1], SoundEncoder(), "none", " ", "auto")
    assert ["caption" in texts[0], "sound and speech are empty" in texts[1]] == [True, True]


def test_parentheses_are_no_weights() -> None:
    clip = SoundEncoder()
    conditioning(sound="rain (soft)", clip=clip)
    assert clip.texts == ["rain \\(soft\\)"]


def test_too_much_speech_is_refused_with_its_seconds() -> None:
    with refused("tokens", "seconds", "128"):
        conditioning(" ".join([SPEECH] * 6))
    with refused("umT5-base", "ACE-Step"):
        conditioning(clip=OtherEncoder())
    with refused("clip", "umT5-base", "CLIPLoader"):
        UniverseConditioning.execute(*CAPTIONS, None, "rain", SPEECH, "auto")


def test_too_long_a_text_of_sound_is_refused() -> None:
    conditioning(sound="rain " * 255)
    with refused("257 tokens", "256"):
        conditioning(sound="rain " * 256)


@pytest.mark.parametrize(("aligned", "first"), [(True, 3072), (False, 0)])
def test_sound_is_as_long_as_the_picture(aligned: bool, first: int) -> None:
    audio = UniverseSoundDecode.execute(picture_latent(frames=32, batch=2), SoundVAE(), aligned)[0]
    assert audio["sample_rate"] == 25_600 and audio["waveform"].shape == (2, 2, 128_000)
    assert audio["waveform"][0, 0, 0] == first


def test_another_sound_vae_is_refused() -> None:
    with refused("not ACE-Step's"):
        UniverseSoundDecode.execute(picture_latent(), SoundVAE(2048), True)
    with refused("not ACE-Step's", "16 channels"):
        UniverseSoundDecode.execute(picture_latent(), wan_vae(), True)


def wan_vae() -> Any:
    """ComfyUI's VAE of Wan 2.1, small and random."""
    from comfy.ldm.wan.vae import WanVAE

    torch.manual_seed(0)
    settings = {"dim": 8, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_scales": []}
    codec = WanVAE(**settings, temperal_downsample=[False, True, True], dropout=0.0)
    for parameter in codec.parameters():
        torch.nn.init.normal_(parameter, std=max(1, parameter[0].numel()) ** -0.5)
    return comfy.sd.VAE(sd=codec.state_dict())


def test_comfyuis_own_codecs_fit() -> None:
    """From the image to the latent of its first frame, and from latents to picture and sound of one length."""
    latent = make_latent(64, 64, vae=wan_vae(), size="512 × 512", seconds=0.36)
    video, audio = latent["samples"].unbind()
    assert video.shape == (1, 16, 3, 64, 64) and video[:, :, 0].std() > 0 and not video[:, :, 1:].any()
    frames = wan_vae().decode(torch.randn(1, 16, 3, 8, 8))
    assert frames.shape == (1, 9, 64, 64, 3)
    audio.normal_()
    made = [UniverseSoundDecode.execute(latent, small_ace_vae(), aligned)[0]["waveform"] for aligned in (True, False)]
    assert [waveform.shape for waveform in made] == [(1, 2, round(9 / 25 * 25_600))] * 2
    assert 0.01 < made[0].std() < 1
    assert torch.allclose(made[1][..., 3072:], made[0][..., :-3072], atol=1e-5)


def test_the_schedule_begins_below_one() -> None:
    sigmas, _ = UniverseSchedule.execute(35, 15.0).args
    assert len(sigmas) == 36 and 0.99999 < sigmas[0] < 1 and sigmas[-1] == 0
