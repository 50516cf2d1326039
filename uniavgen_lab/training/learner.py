"""What is trained, and its losses (arXiv 2511.03334, sections 3.2 and 3.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from uniavgen_core.config import CAPTION_ROWS
from uniavgen_core.model.aligners import FACE_MASK_PATCH
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.model.plan import Plans
from uniavgen_core.sampling.schedule import TIMESTEPS
from uniavgen_core.tasks import KeptParts, Switches, kept_masks, put_back
from uniavgen_core.tiny.caption import CaptionEncoder

from .batches import Batch

MOST_PLANS = 64


class Learner(nn.Module):
    """The joint model and the caption encoder that learns with it; a call gives the losses of a batch.

    Args:
        caption_encoder: None where captions come as features of a frozen encoder, with the batches.
        checkpointing: keep only the blocks' inputs for the backward pass, and compute the rest again.
    """

    def __init__(self, model: JointDiT, caption_encoder: CaptionEncoder | None, checkpointing: bool = False):
        super().__init__()
        self.model = model
        self.caption_encoder = caption_encoder
        self._plans = Plans()
        self._options = _checkpointed(model.sizes.blocks) if checkpointing else {}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Flow matching losses `audio` and, but for the audio branch alone, `video` and `face_mask`."""
        speech_features, speech_mask = self._encode_speech(batch.symbols)
        noisy_audio = _mix(batch.audio, batch.audio_noise, batch.sigma)
        timestep = batch.sigma * TIMESTEPS
        if batch.video is None:
            velocity = self._audio_velocity(batch, noisy_audio, timestep, speech_features, speech_mask)
            kept = torch.tensor(batch.kept.audio).unsqueeze(1)
            return {"audio": _flow_loss(velocity, batch.audio, batch.audio_noise, kept)}

        assert batch.video_noise is not None and batch.face_mask is not None and batch.portrait is not None
        true_mask, masks = batch.face_mask, dict[int, Tensor]()
        instead = true_mask if batch.mask_is_given else None
        caption_features, caption_mask = self._encode_captions(batch)
        noisy_video = _mix(batch.video, batch.video_noise, batch.sigma)
        video, audio = self.model(
            put_back(batch.kept, (batch.video, batch.audio), (noisy_video, noisy_audio)),
            timestep,
            caption_features,
            speech_features,
            reference_image=batch.portrait,
            reference_audio=batch.reference_audio,
            kept=batch.kept,
            switches=batch.switches,
            speech_mask=speech_mask,
            caption_mask=caption_mask,
            plans=self.recent_plans(),
            options={**self._options, "patches": {FACE_MASK_PATCH: [_collect(masks, instead)]}},
        )
        losses = {"face_mask": torch.stack([(mask - true_mask).square().mean() for mask in masks.values()]).mean()}
        kept_video, kept_audio = kept_masks(batch.kept, *video.shape[3:])
        if not batch.kept.all_video:
            losses["video"] = _flow_loss(video, batch.video, batch.video_noise, kept_video)
        if not batch.kept.all_audio:
            losses["audio"] = _flow_loss(audio, batch.audio, batch.audio_noise, kept_audio)
        return losses

    def _audio_velocity(
        self, batch: Batch, noisy_audio: Tensor, timestep: Tensor, speech_features: Tensor, speech_mask: Tensor
    ) -> Tensor:
        """Velocity (batch, 1, L, 80) of the sound beside an empty picture that nothing reads."""
        sizes = self.model.sizes
        picture = noisy_audio.new_zeros(len(noisy_audio), sizes.latent_channels, 1, *sizes.patch[1:])
        velocity: Tensor = self.model(
            [picture, noisy_audio],
            timestep,
            noisy_audio.new_zeros(len(noisy_audio), 0, sizes.video_width),
            speech_features,
            reference_image=picture,
            reference_audio=batch.reference_audio,
            kept=KeptParts((True,), batch.kept.audio),
            switches=Switches(audio_to_video=False, video_to_audio=False),
            speech_mask=speech_mask,
            plans=self.recent_plans(),
            options=self._options,
        )[1]
        return velocity

    def recent_plans(self) -> Plans:
        """Plans of the batches before; clips of many lengths make too many to keep all."""
        if len(self._plans) >= MOST_PLANS:
            self._plans = Plans()
        return self._plans

    def _encode_speech(self, symbols: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Features of texts of different lengths, and what to add to the scores of their rows."""
        features = _encode_by_length(symbols, lambda texts: self.model.encode_speech(texts, torch.float32), self.device)
        rows = pad_sequence(features, batch_first=True)
        lengths = torch.tensor([len(feature) for feature in features], device=rows.device)
        beyond = torch.arange(rows.shape[1], device=rows.device) >= lengths[:, None]
        return rows, torch.zeros(beyond.shape, device=rows.device).masked_fill(beyond, -math.inf).unsqueeze(1)

    def _encode_captions(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Features of captions, and what to add to the scores of their rows.

        The zero rows that pad a caption to 512 are all alike: one stands for them, with the logarithm of their number
        added to its score.
        """
        rows = pad_sequence(self.caption_rows(batch.captions, batch.caption_features), batch_first=True)
        if rows.shape[1] >= CAPTION_ROWS:
            return self.model.text_embedding_video(rows), None
        mask = torch.zeros(1, 1, rows.shape[1] + 1, device=rows.device)
        mask[..., -1] = math.log(CAPTION_ROWS - rows.shape[1])
        return self.model.text_embedding_video(functional.pad(rows, (0, 0, 0, 1))), mask

    def caption_rows(self, captions: list[str], features: list[Tensor] | None) -> list[Tensor]:
        """Rows (n, text width) of each caption, without padding.

        Args:
            captions: for the caption encoder that learns with the model.
            features: the same by a frozen encoder, for a learner without one.

        Raises:
            ValueError: there is neither a caption encoder nor features.
        """
        if self.caption_encoder is not None:
            tokens = [self.caption_encoder.tokenize(caption) for caption in captions]
            return _encode_by_length(tokens, self.caption_encoder, self.device)
        if features is None:
            raise ValueError(
                "The shards hold no features of their captions, and the run has no encoder of its own: prepare them "
                "with --caption-encoder, or leave out frozen_captions."
            )
        return [rows.to(self.device) for rows in features]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.audio_padding.device


def _encode_by_length(texts: Sequence[list[int]], encode: Any, device: torch.device) -> list[Tensor]:
    """Features (rows, width) of each text; texts of one length are encoded together."""
    features: list[Tensor] = [torch.empty(0)] * len(texts)
    for length in {len(text) for text in texts}:
        indices = [index for index, text in enumerate(texts) if len(text) == length]
        together = encode(torch.tensor([texts[index] for index in indices], device=device))
        for index, feature in zip(indices, together, strict=True):
            features[index] = feature
    return features


def _mix(data: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    sigma = sigma.view(-1, *[1] * (data.ndim - 1))
    return (1 - sigma) * data + sigma * noise


def _flow_loss(velocity: Tensor, data: Tensor, noise: Tensor, kept: Tensor) -> Tensor:
    """Mean squared error against noise - data, over what is generated; `kept` is as wide as the last axes or one."""
    error = velocity.float() - (noise - data)
    generated = (~kept).to(error.device).expand(error.shape)
    return (error.square() * generated).sum() / generated.sum()


def _collect(masks: dict[int, Tensor], instead: Tensor | None) -> Any:
    """A patch that keeps each layer's mask, and has another one used in its place.

    Those of a block that is computed again for its gradients are not kept: they would keep all that it makes.
    """

    def keep(mask: Tensor, layer: int, options: dict[str, Any]) -> Tensor:
        masks.setdefault(layer, mask)
        return mask if instead is None else instead

    return keep


def _checkpointed(blocks: int) -> dict[str, Any]:
    """Options that compute each block again in the backward pass."""

    def replace(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        return torch.utils.checkpoint.checkpoint(extra["original_block"], args, use_reentrant=False)

    return {"patches_replace": {"dit": {("double_block", block): replace for block in range(blocks)}}}
