"""What the paper compares its interaction and its face mask with (arXiv 2511.03334, tables 2 and 3).

A variant has the parameters of the module that it replaces, under the same names: all models but the stitched one have
the same weights, and those of one can be loaded into another.

Interaction (section 3.3, table 2):
    `global`      each token attends to all tokens of the other modality, at the positions that rotary embedding gives
                  both in their own branches; what belongs together in time has to be learnt.
    `symmetric`   a latent frame attends to the audio tokens of its own time, an audio token to the latent frame of its
                  own time: the same pairs in both directions, without context and without interpolation.
    `asymmetric`  the model's own: audio from around a frame, and frames interpolated at an audio token's time.
    `stitched`    UniVerse-1's, which has other weights, after each block: `stitched_interaction`.

Face mask (section 3.4, table 3):
    `none`        every video token counts fully.
    `predicted`   the model's own. How it is supervised is the entry `face_mask_weight` of a stage of training: 0
                  throughout (unsupervised), 0.1 throughout (fixed), or from 0.1 to 0 (decaying).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn

from uniavgen_core.config import ModelSizes, audio_tokens, pixel_frames
from uniavgen_core.joint_latent import tokens_of_frames
from uniavgen_core.model.aligners import AudioToVideoAligner, FaceMaskHead, VideoToAudioAligner
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.model.plan import Plan
from uniavgen_core.model.rope import window_table

from .stitched_interaction import stitch

ASYMMETRIC, PREDICTED = "asymmetric", "predicted"
"""The model's own interaction and face mask."""
STITCHED = "stitched"


class GlobalAudioToVideo(AudioToVideoAligner):
    """Each video token attends to all audio tokens."""

    def forward(self, video: Tensor, audio: Tensor, mask: Tensor, plan: Plan, *, options: dict[str, Any]) -> Tensor:
        """As the base's."""
        table = plan.video_table.unflatten(1, (-1, video.shape[2])).index_select(1, plan.generated_frames)
        q = self.rotate(self.norm_q(self.q(video)).flatten(1, 2), table.flatten(1, 2))
        k = self.rotate(self.norm_k(self.k(audio)), plan.audio_table[:, : audio.shape[1]])
        attended = self.attend(q, k, self.v(audio), options=options).view_as(video)
        return self.o(attended * mask.unsqueeze(-1).to(attended.dtype))


class GlobalVideoToAudio(VideoToAudioAligner):
    """Each audio token attends to the video tokens of all frames."""

    def forward(self, audio: Tensor, video: Tensor, mask: Tensor, plan: Plan, *, options: dict[str, Any]) -> Tensor:
        """As the base's."""
        seen = (video * mask.unsqueeze(-1).to(video.dtype)).flatten(1, 2)
        q = self.rotate(self.norm_q(self.q(audio)), plan.audio_table.index_select(1, plan.generated_tokens))
        k = self.rotate(self.norm_k(self.k(seen)), plan.video_table[:, : seen.shape[1]])
        return self.o(self.attend(q, k, self.v(seen), options=options))


class SymmetricAudioToVideo(AudioToVideoAligner):
    """Each latent frame's tokens attend to the audio tokens of the frame's own time."""

    def forward(self, video: Tensor, audio: Tensor, mask: Tensor, plan: Plan, *, options: dict[str, Any]) -> Tensor:
        """As the base's."""
        frames, places = _times(len(plan.frame_rows), audio.shape[1], audio.device)
        table = window_table(int(places.max()) + 1, audio.device).index_select(1, places)
        own = _scores(plan.generated_frames.repeat_interleave(video.shape[2]), frames)
        q = self.rotate(self.norm_q(self.q(video)).flatten(1, 2), _in_each_frame(plan.frame_table, video.shape[1]))
        k = self.rotate(self.norm_k(self.k(audio)), table)
        attended = self.attend(q, k, self.v(audio), mask=own, options=options).view_as(video)
        return self.o(attended * mask.unsqueeze(-1).to(attended.dtype))


class SymmetricVideoToAudio(VideoToAudioAligner):
    """Each audio token attends to the latent frame of its own time."""

    def forward(self, audio: Tensor, video: Tensor, mask: Tensor, plan: Plan, *, options: dict[str, Any]) -> Tensor:
        """As the base's."""
        latent_frames, tokens = video.shape[1:3]
        frames, _ = _times(latent_frames, audio_tokens(pixel_frames(latent_frames)), video.device)
        seen_frames = torch.arange(latent_frames, device=video.device).repeat_interleave(tokens)
        own = _scores(frames[plan.generated_tokens], seen_frames)
        seen = (video * mask.unsqueeze(-1).to(video.dtype)).flatten(1, 2)
        q = self.norm_q(self.q(audio))
        k = self.rotate(self.norm_k(self.k(seen)), _in_each_frame(plan.frame_table, latent_frames))
        return self.o(self.attend(q, k, self.v(seen), mask=own, options=options))


class NoFaceMask(FaceMaskHead):
    """The whole picture counts as face."""

    def forward(self, video: Tensor, time: Tensor, frame_rows: Tensor) -> Tensor:
        """Ones (batch, T, N), in float32."""
        return torch.ones(video.shape[:-1], dtype=torch.float32, device=video.device)


INTERACTIONS: dict[str, tuple[type[AudioToVideoAligner], type[VideoToAudioAligner]]] = {
    "global": (GlobalAudioToVideo, GlobalVideoToAudio),
    "symmetric": (SymmetricAudioToVideo, SymmetricVideoToAudio),
    ASYMMETRIC: (AudioToVideoAligner, VideoToAudioAligner),
}
FACE_MASKS: dict[str, type[FaceMaskHead]] = {"none": NoFaceMask, PREDICTED: FaceMaskHead}


def apply_variant(model: JointDiT, interaction: str = ASYMMETRIC, face_mask: str = PREDICTED) -> None:
    """Give a model another interaction and face mask, with the weights that it has.

    A stitched one has new weights; it cannot be made into one of the others.

    Raises:
        ValueError: there is no such interaction or face mask.
    """
    _check("interaction", interaction, (*INTERACTIONS, STITCHED))
    _check("face_mask", face_mask, FACE_MASKS)
    if interaction == STITCHED:
        stitch(model)
    for layer in range(len(model.a2v_blocks)):
        if interaction != STITCHED:
            audio_to_video, video_to_audio = INTERACTIONS[interaction]
            model.a2v_blocks[layer] = _as(audio_to_video, model.a2v_blocks[layer], model.sizes, model.operations)
            model.v2a_blocks[layer] = _as(video_to_audio, model.v2a_blocks[layer], model.sizes, model.operations)
        to_video = cast(AudioToVideoAligner, model.a2v_blocks[layer])
        to_video.mask_head = _as(FACE_MASKS[face_mask], to_video.mask_head, model.sizes.video_width, model.operations)


def variant_metadata(interaction: str, face_mask: str) -> dict[str, str]:
    """What a file of weights tells of the model that they are for."""
    return {"interaction": interaction, "face_mask": face_mask}


def read_variant(weights: Path) -> dict[str, str]:
    """Arguments of `apply_variant` for the model of these weights; none where they tell nothing or are absent."""
    if not weights.is_file():
        return {}
    with safe_open(weights, framework="pt") as file:
        metadata = file.metadata() or {}
    return {name: metadata[name] for name in variant_metadata(ASYMMETRIC, PREDICTED) if name in metadata}


def _check(entry: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ValueError(f"{entry} is '{name}': choose from {', '.join(known)}.")


Module = TypeVar("Module", bound=nn.Module)


def _as(kind: type[Module], source: nn.Module, size: ModelSizes | int, operations: Any) -> Module:
    """A module of this kind with the weights of another."""
    if type(source) is kind:
        return source
    module = kind(size, operations, device="meta")
    module.load_state_dict(source.state_dict(), assign=True)
    return module.train(source.training)


def _times(latent_frames: int, tokens: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The latent frame that each audio token sounds in, and the token's place there, both (tokens)."""
    spans = [tokens_of_frames([frame], latent_frames, tokens) for frame in range(latent_frames)]
    frames = [frame for frame, span in enumerate(spans) for _ in span]
    places = [place for span in spans for place in range(len(span))]
    return torch.tensor(frames, device=device), torch.tensor(places, device=device)


def _scores(query_frames: Tensor, key_frames: Tensor) -> Tensor:
    """What to add to scores (1, queries, keys), so that a query attends to keys of its own latent frame only."""
    other = query_frames.unsqueeze(1) != key_frames
    return torch.zeros(other.shape, device=other.device).masked_fill(other, -torch.inf).unsqueeze(0)


def _in_each_frame(frame_table: Tensor, frames: int) -> Tensor:
    """The rotary table of one frame's tokens, for the tokens of several frames."""
    return frame_table.repeat(1, frames, *[1] * (frame_table.ndim - 2))
