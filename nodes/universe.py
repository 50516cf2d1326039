"""UniVerse-1: its latent, what its texts become, its steps, and its sound."""

from __future__ import annotations

from typing import Any

import node_helpers
import torch
from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.checks import check_images
from ..uniavgen_core.joint_latent import check_finite
from ..uniavgen_core.media.images import to_rgb
from ..uniavgen_core.sampling.schedule import TWICE_SHIFT, TWICE_STEPS, twice_shifted_sigmas
from ..uniavgen_core.speech.reader import SpeechReader
from ..uniavgen_core.speech.text import LANGUAGES, detect_language
from ..uniavgen_core.universe1.lyrics import lyric_tokens, sound_text
from ..uniavgen_core.universe1.stitched_latent import (
    FITS,
    STRETCH,
    TRAINED_SIZES,
    check_universe_shapes,
    fitted,
    frames_for_seconds,
    is_stretched,
    nearest_size,
    universe_shapes,
)
from ..uniavgen_core.universe1.stitched_sizes import (
    AUDIO_CHANNELS,
    CODEC_OFFSET,
    CODEC_RATE,
    COLUMN_SAMPLES,
    MOST_FRAMES,
    SOUND_TOKENS,
    SPEECH_TOKENS,
    TRAINED_FRAMES,
    UNIVERSE_CHANNELS,
    universe_seconds,
)
from .comfy_latent import streams
from .comfy_progress import check_interrupt, warn
from .comfy_uni_pc import uni_pc_sampler
from .comfy_universe import LINKED, SOUND_ROWS, SPEECH_IDS, encode_sound_text, speech_vocabulary, universe_latent

AUTO = "auto"
SIZES = {f"{width} × {height}": (width, height) for width, height in TRAINED_SIZES}
CHOOSE_SOUND_VAE = "Choose the VAE of ace_step_v1_3.5b."
LANGUAGE_NAMES = {name: code for code, name in LANGUAGES.items()}


class UniverseLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniVerse1Latent",
            display_name="UniVerse-1 Latent",
            category="model/latent",
            description="Makes the joint latent of picture and sound for UniVerse-1: the image is the clip's first "
            "frame, the rest is generated.",
            search_aliases=["universe-1", "uniavgen universe latent"],
            inputs=[
                io.Vae.Input("vae", tooltip="The Wan 2.1 VAE."),
                io.Image.Input("image", tooltip="The first frame of the clip."),
                io.Float.Input(
                    "seconds",
                    default=universe_seconds(TRAINED_FRAMES),
                    min=0.04,
                    max=universe_seconds(MOST_FRAMES),
                    step=0.04,
                    tooltip="Length of the clip, rounded up to 4n + 1 frames of 25 a second. The model was trained on "
                    "5 seconds.",
                ),
                io.Combo.Input(
                    "size",
                    options=[AUTO, *SIZES],
                    tooltip="Width and height of the clip. auto: the one whose shape is nearest to the image's.",
                ),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    tooltip="How an image of another shape is brought to the size. stretch: as the released model does "
                    "it. crop: its middle is taken.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=64, tooltip="How many clips are made at once."),
            ],
            outputs=[io.Latent.Output(tooltip="Of two streams, whose first frame is kept.")],
        )

    @classmethod
    def execute(cls, vae: Any, image: Tensor, seconds: float, size: str, fit: str, batch_size: int) -> io.NodeOutput:
        _check_wan21(vae)
        check_images("image", image)
        check_finite("image", image)
        frames = frames_for_seconds(seconds)
        picture = to_rgb(image[:1]).cpu()
        rows, columns = picture.shape[1:3]
        width, height = SIZES.get(size) or nearest_size(columns, rows)
        notes = []
        if fit == STRETCH and is_stretched((columns, rows), width, height):
            notes.append(
                f"image is of {columns} × {rows} pixels and is stretched to {width} × {height}, as the released model "
                "does it: set fit to crop to keep its shape."
            )
        made = universe_seconds(frames)
        warn("UniVerse-1 Latent", notes, f"{width} × {height} pixels, {made:.2f} s")
        encoded = vae.encode(fitted(picture, width, height, fit))
        shapes = universe_shapes(frames, width, height, batch_size)
        return io.NodeOutput(universe_latent(shapes, encoded))


def _check_wan21(vae: Any) -> None:
    channels = getattr(vae, "latent_channels", None)
    if channels != UNIVERSE_CHANNELS or getattr(vae, "latent_dim", 3) != 3:
        raise ValueError(
            f"This VAE makes latents of {channels} channels, but UniVerse-1 needs the {UNIVERSE_CHANNELS} of the Wan "
            "2.1 VAE, which is for videos: choose wan_2.1_vae.safetensors in Load VAE (that of Wan 2.2 5B is another)."
        )


class UniverseConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniVerse1Conditioning",
            display_name="UniVerse-1 Conditioning",
            category="model/conditioning",
            description="Adds to the captions what is heard: ambience and music, and the words that are said.",
            search_aliases=["universe-1", "uniavgen universe speech", "ambience", "music"],
            inputs=[
                io.Conditioning.Input("positive", tooltip="The caption: what is seen, from umT5-XXL."),
                io.Conditioning.Input("negative", tooltip="Usually an empty caption, from umT5-XXL."),
                io.Clip.Input("clip", tooltip="umT5-base, the text encoder of ACE-Step: the CLIP of ace_step_v1_3.5b."),
                io.String.Input(
                    "sound",
                    multiline=True,
                    tooltip="What is heard beside the speech: ambience, music. Several in several lines. Empty: "
                    "nothing.",
                ),
                io.String.Input(
                    "speech",
                    multiline=True,
                    tooltip=f"What is said, in English or Chinese; at most {SPEECH_TOKENS} tokens, some 8 seconds. "
                    "Empty: nobody speaks.",
                ),
                io.Combo.Input(
                    "language",
                    options=[AUTO, *LANGUAGE_NAMES],
                    tooltip="auto: Chinese where the words hold a Chinese character, else English.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="With sound and speech."),
                io.Conditioning.Output(
                    display_name="negative", tooltip="Without sound and speech, as the release has it."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, positive: list, negative: list, clip: Any, sound: str, speech: str, language: str
    ) -> io.NodeOutput:
        warn("UniVerse-1 Conditioning", _missing_texts(positive, negative, sound_text(sound), speech))
        code = LANGUAGE_NAMES.get(language) or detect_language(speech)
        ids = torch.tensor([_checked_tokens(speech, code)])
        rows = encode_sound_text(clip, sound_text(sound))
        if rows.shape[1] > SOUND_TOKENS:
            raise ValueError(
                f"The text of sound is of {rows.shape[1]} tokens, but UniVerse-1 reads {SOUND_TOKENS}: shorten it."
            )
        values = {SOUND_ROWS: rows, SPEECH_IDS: ids, LINKED: True}
        null = {SOUND_ROWS: torch.zeros_like(rows), SPEECH_IDS: torch.zeros_like(ids), LINKED: False}
        return io.NodeOutput(
            node_helpers.conditioning_set_values(positive, values),
            node_helpers.conditioning_set_values(negative, null),
        )


def _missing_texts(positive: list, negative: list, sound: str, speech: str) -> list[str]:
    """Sentences on texts that say nothing."""
    notes = []
    if all(torch.equal(one, other) for (one, _), (other, _) in zip(positive, negative, strict=False)):
        notes.append(
            "positive and negative have the same caption, so that nothing says what is seen: write it into the caption "
            "of positive, and leave that of negative empty."
        )
    if not sound and not speech.strip():
        notes.append("sound and speech are empty: the model guesses from the image what is heard.")
    return notes


def _checked_tokens(speech: str, language: str) -> list[int]:
    """Tokens of the speech.

    Raises:
        ValueError: the model does not read so many.
    """
    tokens = lyric_tokens(speech, language, speech_vocabulary())
    # The closing one may be cut off.
    if len(tokens) - 1 > SPEECH_TOKENS:
        seconds = SpeechReader(step=check_interrupt).read(speech, language).seconds()
        most = seconds * SPEECH_TOKENS / len(tokens)
        raise ValueError(
            f"The speech is of {len(tokens)} tokens, about {seconds:.1f} seconds, but UniVerse-1 reads "
            f"{SPEECH_TOKENS}, about {most:.1f} seconds of it: shorten it."
        )
    return tokens


class UniverseSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniVerse1Schedule",
            display_name="UniVerse-1 Schedule",
            category="model/sampling",
            description="The steps of the released UniVerse-1, and its solver, for SamplerCustomAdvanced.",
            search_aliases=["universe-1", "uniavgen universe sigmas", "unipc"],
            inputs=[
                io.Int.Input(
                    "steps",
                    default=TWICE_STEPS,
                    min=1,
                    max=1000,
                    tooltip=f"Sampling steps. The released model uses {TWICE_STEPS}.",
                ),
                io.Float.Input(
                    "shift",
                    default=TWICE_SHIFT,
                    min=0.01,
                    max=100.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Moves the steps towards the noisy part. The released model uses 15.",
                ),
            ],
            outputs=[
                io.Sigmas.Output(tooltip="The noise levels, for any sampler."),
                io.Sampler.Output(tooltip="The release's solver, UniPC of order 2."),
            ],
        )

    @classmethod
    def execute(cls, steps: int, shift: float) -> io.NodeOutput:
        return io.NodeOutput(twice_shifted_sigmas(steps, shift), uni_pc_sampler())


class UniverseSoundDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniVerse1SoundDecode",
            display_name="UniVerse-1 Sound Decode",
            category="model/latent",
            description="Decodes the sound of UniVerse-1's latents at its rate, as long as the picture.",
            search_aliases=["universe-1", "uniavgen universe audio", "ace vae"],
            inputs=[
                io.Latent.Input("samples", tooltip="What was sampled."),
                io.Vae.Input("vae", tooltip="The VAE of ACE-Step."),
                io.Boolean.Input(
                    "aligned",
                    default=True,
                    advanced=True,
                    tooltip="Leaves out the 120 ms at the beginning that stand before the first frame. Off: the sound "
                    "is so much late, as the released code gives it.",
                ),
            ],
            outputs=[io.Audio.Output(tooltip="Stereo sound of 25 600 samples a second, as long as the picture.")],
        )

    @classmethod
    def execute(cls, samples: dict[str, Any], vae: Any, aligned: bool) -> io.NodeOutput:
        parts = streams(samples)
        check_universe_shapes([part.shape for part in parts])
        audio = parts[1]
        channels = getattr(vae, "latent_channels", None)
        if channels != AUDIO_CHANNELS:
            raise ValueError(
                f"This VAE is not ACE-Step's: it decodes latents of {channels} channels, and UniVerse-1's sound has "
                f"{AUDIO_CHANNELS}. {CHOOSE_SOUND_VAE}"
            )
        waveform = vae.decode(audio)
        wanted = (*audio.shape[:1], audio.shape[3] * COLUMN_SAMPLES)
        if waveform.ndim != 3 or tuple(waveform.shape[:2]) != wanted:
            raise ValueError(
                "This VAE is not ACE-Step's: it makes sound of another length of UniVerse-1's latent. "
                f"{CHOOSE_SOUND_VAE}"
            )
        waveform = waveform.movedim(-1, 1)
        frames_samples = round(universe_seconds(audio.shape[3]) * CODEC_RATE)
        first = CODEC_OFFSET if aligned else 0
        heard = waveform[..., first : first + frames_samples].clone()
        return io.NodeOutput({"waveform": heard, "sample_rate": CODEC_RATE})
