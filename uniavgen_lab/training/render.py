"""Render the corpus to shards ahead of training, in worker processes."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from tqdm import tqdm

from uniavgen_core.audio.mel import log_mel, peak_scale
from uniavgen_core.config import SIZE_MULTIPLE
from uniavgen_core.face.map import tokens_of_mask
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.tiny.codec import Codec

from ..world.corpus import CorpusClip, beside_a_listener, make_clip, partner
from ..world.synthesiser import Synthesiser
from .shards import SUFFIX, Label, TrainingClip, write_shard

CLIPS_A_SHARD = 64
CODEC = "codec"
"""Name in a shard's metadata of what its latents depend on."""


@dataclass(frozen=True)
class Rendering:
    """What to render.

    `first_seed` and the number of clips are even: clips come in pairs of one voice.
    """

    folder: Path
    first_seed: int
    clips: int
    codec: Codec | None
    """None renders sound alone."""
    two_people: bool = False
    """A listener stands beside the speaker."""
    newcomer: bool = False
    """All show one person, of no kind of the world."""


def render(rendering: Rendering, workers: int) -> None:
    """Write the shards that are not there yet.

    Raises:
        ValueError: the folder has shards that were made with another codec.
    """
    rendering.folder.mkdir(parents=True, exist_ok=True)
    seeds = range(rendering.first_seed, rendering.first_seed + rendering.clips)
    parts = [seeds[start : start + CLIPS_A_SHARD] for start in range(0, len(seeds), CLIPS_A_SHARD)]
    missing = [part for part in parts if not _path(rendering, part).is_file()]
    _check_same_codec(rendering, next((part for part in parts if part not in missing), None))
    write = partial(_write, rendering)
    with multiprocessing.get_context("spawn").Pool(workers, _use_one_thread) as pool:
        for _ in tqdm(pool.imap_unordered(write, missing), total=len(missing), desc="render", unit="shard"):
            pass


def _path(rendering: Rendering, seeds: range) -> Path:
    name = "two_people" if rendering.two_people else "newcomer" if rendering.newcomer else "clips"
    return rendering.folder / f"{name}_{seeds.start:010d}{SUFFIX}"


def _check_same_codec(rendering: Rendering, finished: range | None) -> None:
    if finished is None:
        return
    with safe_open(_path(rendering, finished), framework="pt") as shard:
        if shard.metadata().get(CODEC, "") != _fingerprint(rendering.codec):
            raise ValueError(
                f"The shards in {rendering.folder} were made with another picture codec: remove them, or choose "
                "another folder."
            )


def _fingerprint(codec: Codec | None) -> str:
    """What the latents of a codec depend on, in short; sound alone has none."""
    if codec is None:
        return ""
    digest = hashlib.sha256()
    for layer in (codec.encode_picture, codec.encode_change):
        for weight in layer.parameters():
            digest.update(weight.detach().numpy().tobytes())
    return digest.hexdigest()


def _use_one_thread() -> None:
    torch.set_num_threads(1)


def _write(rendering: Rendering, seeds: range) -> None:
    metadata = {CODEC: _fingerprint(rendering.codec)}
    write_shard(_path(rendering, seeds), _clips(rendering, seeds), metadata=metadata)


def _clips(rendering: Rendering, seeds: range) -> Iterator[TrainingClip]:
    synthesiser = Synthesiser()
    for seed in seeds:
        clip = make_clip(seed, synthesiser, rendering.newcomer)
        clip = beside_a_listener(clip) if rendering.two_people else clip
        yield training_clip(clip, rendering.codec, partner(seed) - seeds.start)


@torch.no_grad()
def training_clip(clip: CorpusClip, codec: Codec | None, reference: int | None = None) -> TrainingClip:
    """A corpus clip as the model sees it."""
    waveform = torch.from_numpy(clip.waveform)
    label = Label(
        latent_frames=clip.latent_frames,
        speech=clip.speech,
        caption=clip.caption,
        kind=clip.kind,
        mood=clip.mood,
        starts_at_rest=clip.starts_at_rest,
        partner=reference,
    )
    audio, loud_audio = (normalise_mel(log_mel(x)) for x in (waveform, peak_scale(waveform)))
    if codec is None:
        return TrainingClip(label, audio, loud_audio)
    video, portrait = (
        codec.encode_frames(torch.from_numpy(pixels).float() / 255)[0] for pixels in (clip.frames, clip.portrait[None])
    )
    return TrainingClip(label, audio, loud_audio, video, portrait, token_mask(torch.from_numpy(clip.face_mask)))


def token_mask(mask: Tensor) -> Tensor:
    """The part of each video token that is masked, (T, N), of a mask (F, height, width) of bytes."""
    rows, columns = (size // SIZE_MULTIPLE for size in mask.shape[1:])
    return tokens_of_mask(mask.float() / 255, rows, columns)
