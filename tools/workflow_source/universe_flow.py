"""The workflows of UniVerse-1: one of its own, and one that compares it with UniAVGen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .flow import Link
from .model_flow import RELEASED, Links, ModelFlow

UNIVERSE_GUIDANCE = {"video_scale": 1.2, "audio_scale": 5, "unimodal_end_percent": 0, "skip_block": "none"}
UNIVERSE_SPEECH = "It has rained since this morning, but I like it here."
UNIVERSE_RATE = 25


class UniverseFlow(ModelFlow):
    """A workflow with UniVerse-1.

    Attributes:
        universe: its MODEL.
        sound_clip: what encodes the text of its sound.
        picture_vae, sound_vae: its VAEs.
    """

    universe: Link
    sound_clip: Link
    picture_vae: Link
    sound_vae: Link

    def __init__(self, name: str) -> None:
        super().__init__(name, tiny=False)

    def load_universe(self) -> None:
        """In the column of the loaders."""
        (self.universe,) = self.add("UniAVGenModelLoader", "Load UniVerse-1", model_name="UniVerse-1/")
        (self.picture_vae,) = self.add("VAELoader", "Load VAE of Wan 2.1", vae_name="wan_2.1_vae.safetensors")
        checkpoint = self.add(
            "CheckpointLoaderSimple", "Load ACE-Step (text encoder, VAE)", ckpt_name="ace_step_v1_3.5b.safetensors"
        )
        self.sound_clip, self.sound_vae = checkpoint[1:]

    def load_caption_encoder(self) -> None:
        """The one that both models read."""
        encoder = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
        (self.clip,) = self.add("CLIPLoader", "Load caption encoder", clip_name=encoder, type="wan")

    def condition_universe(
        self, captions: dict[str, Links], image: Links, sound: str, speech: Any, fit: str = "stretch"
    ) -> tuple[dict[str, Link], Links]:
        """Texts and image as the sampler takes them."""
        positive, negative = self.add(
            "UniVerse1Conditioning", **captions, clip=self.sound_clip, sound=sound, speech=speech
        )
        latent = self.add("UniVerse1Latent", vae=self.picture_vae, image=image, seconds=5, fit=fit)
        return {"positive": positive, "negative": negative}, latent

    def sample_universe(self, conditioning: dict[str, Link], latent: Links) -> Links:
        """With the release's solver, steps and scales."""
        noise = self.add("RandomNoise", control_after_generate="fixed")
        guider = self.add("UniAVGenGuider", model=self.universe, **conditioning, **UNIVERSE_GUIDANCE)
        sigmas, sampler = self.add("UniVerse1Schedule")
        return self.add(
            "SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=sigmas, latent_image=latent
        )

    def decode_universe(self, sampled: Links) -> Links:
        """A VIDEO."""
        frames = self.add("VAEDecode", "Decode picture", samples=sampled, vae=self.picture_vae)
        sound = self.add("UniVerse1SoundDecode", "Decode sound", samples=sampled, vae=self.sound_vae)
        return self.add("UniAVGenAVMux", video=frames, audio=sound, frame_rate=UNIVERSE_RATE)


def universe1(flow: UniverseFlow) -> None:
    """An image and three texts become a scene that sounds."""
    flow.group("Load")
    flow.load_universe()
    flow.load_caption_encoder()
    flow.note("universe_files")
    flow.group("Image and caption")
    caption = "A young woman stands under an umbrella on a rainy street, looks at the camera and speaks."
    captions, image = flow.captions(caption), flow.picture("First frame")
    flow.note("universe_texts")
    flow.group("Condition")
    conditioning, latent = flow.condition_universe(captions, image, "soft rain\ndistant traffic", UNIVERSE_SPEECH)
    flow.group("Sample")
    sampled = flow.sample_universe(conditioning, latent)
    flow.note("universe_guidance")
    flow.group("Decode and save")
    flow.save_video(flow.decode_universe(sampled))


def compare(flow: UniverseFlow) -> None:
    """One portrait and one sentence through both models, side by side."""
    flow.load()
    flow.group("Load UniVerse-1")
    flow.load_universe()
    flow.note("universe_files")
    flow.group("Portrait and words")
    captions, portrait = flow.captions(), flow.portrait()
    speech = flow.add("PrimitiveStringMultiline", "Words", value=RELEASED.speech)
    flow.note("compare")
    flow.group("Condition")
    conditioning = flow.conditioning(captions, speech=speech)
    latent = flow.clip_of(conditioning, portrait=portrait)
    of_universe, universe_latent = flow.condition_universe(captions, portrait, "", speech, fit="crop")
    flow.group("Sample with UniAVGen")
    sampled = flow.sample(conditioning, latent)
    flow.group("Sample with UniVerse-1")
    universe_sampled = flow.sample_universe(of_universe, universe_latent)
    flow.group("Decode")
    left = flow.add("UniAVGenAVMux", video=flow.decode_picture(sampled), audio=flow.decode_sound(sampled))
    right = flow.decode_universe(universe_sampled)
    flow.group("Compare and save")
    labels = {"left_label": "UniAVGen", "right_label": "UniVerse-1"}
    flow.save_video(flow.add("UniAVGenSideBySide", left=left, right=right, **labels))


OF_UNIVERSE: tuple[Callable[[UniverseFlow], None], ...] = (universe1, compare)
