"""The audio branch by itself, for the first stage of training."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..model.joint_dit import JointDiT
from ..model.plan import NOISY
from ..model.rope import audio_table


def audio_velocity(
    model: JointDiT,
    mel: Tensor,
    timestep: Tensor,
    speech: Tensor,
    speech_mask: Tensor | None,
    reference_audio: Tensor | None,
    options: dict[str, Any],
) -> Tensor:
    """Velocity (batch, 1, L, 80): `JointDiT.forward` with nothing kept and both directions off, without its video.

    Args:
        mel: (batch, 1, L, 80), all of it generated.
        timestep, speech, speech_mask, reference_audio: as in `JointDiT.forward`.
        options: as there; `patches_replace` is not asked.
    """
    audio, reference_tokens = model._embed_audio(mel.squeeze(1), reference_audio)
    time, projected = model._embed_time(timestep, model.time_embedding_audio, model.time_projection_audio)
    tokens, symbols = audio.shape[1], speech.shape[1]
    table = audio_table(max(tokens, symbols), audio.device)
    tables = (table[:, :tokens], table[:, :symbols])
    runs = ((tokens, NOISY),)
    for block in model.audio_blocks:
        audio = block(audio, projected, runs, tables[0], speech, tables, options, speech_mask)
    return model.head_audio(audio, time, runs)[:, reference_tokens:].unsqueeze(1)
