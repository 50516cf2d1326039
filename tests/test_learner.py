"""The losses: what is given carries none, ragged texts change nothing, and the audio branch alone is the model's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_model import FRAMES, small_sizes

from uniavgen_core.joint_latent import stream_shapes
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.tasks import Switches, kept_prefix
from uniavgen_core.tiny.bundle import random_state_dict
from uniavgen_core.tiny.caption import CaptionEncoder
from uniavgen_lab.training.batches import Batch
from uniavgen_lab.training.learner import Learner
from uniavgen_lab.training.operations import training_operations

SIZES = small_sizes()
WORDS = [[5, 9, 12, 7, 3, 8, 1, 1, 4, 6, 2, 2], [4, 4, 9]]


@pytest.fixture
def learner() -> Learner:
    learner = Learner(JointDiT(SIZES, training_operations), CaptionEncoder(16, training_operations))
    shapes = {name: x.shape for name, x in learner.state_dict().items()}
    learner.load_state_dict(random_state_dict(shapes))
    return learner


def make_batch(kept_frames: int = 1, kept_tokens: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(3)
    video_shape, audio_shape = stream_shapes(FRAMES, 64, 64, batch=2)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    video = noise(*video_shape)
    return Batch(
        task="joint",
        audio=noise(*audio_shape),
        audio_noise=noise(*audio_shape),
        sigma=torch.tensor([0.3, 0.8]),
        symbols=WORDS,
        captions=["A sad man talks.", ""],
        kept=kept_prefix(FRAMES, audio_shape[2], kept_frames, kept_tokens),
        switches=Switches(audio_to_video=True, video_to_audio=True),
        video=video,
        video_noise=noise(*video_shape),
        portrait=video[:, :, :1],
        face_mask=noise(2, FRAMES, 4).sigmoid(),
    )


def of_clip(batch: Batch, clip: int) -> Batch:
    """One clip of a batch."""
    rows = {
        name: getattr(batch, name)[clip : clip + 1]
        for name in (
            "audio", "audio_noise", "sigma", "symbols", "captions", "video", "video_noise", "portrait", "face_mask"
        )
    }  # fmt: skip
    return replace(batch, **rows)


def test_losses_of_a_batch_are_the_means_of_its_clips(learner: Learner) -> None:
    batch = make_batch()
    together = learner(batch)
    singles = [learner(of_clip(batch, clip)) for clip in range(2)]
    assert set(together) == {"video", "audio", "face_mask"}
    for name, value in together.items():
        assert torch.allclose(value, torch.stack([single[name] for single in singles]).mean(), rtol=1e-5), name


def test_a_short_caption_padded_to_512_rows_is_what_the_learner_uses(learner: Learner) -> None:
    batch = of_clip(make_batch(), 0)
    tokens = torch.tensor([learner.caption_encoder.tokenize(batch.captions[0])])
    caption = learner.model.encode_caption(learner.caption_encoder(tokens))
    assert caption.shape[1] == 512
    sigma = batch.sigma.view(-1, 1, 1, 1)
    audio = (1 - sigma) * batch.audio + sigma * batch.audio_noise
    video = (1 - sigma.unsqueeze(-1)) * batch.video + sigma.unsqueeze(-1) * batch.video_noise
    video[:, :, :1] = batch.video[:, :, :1]
    speech = learner.model.encode_speech(torch.tensor(batch.symbols), torch.float32)
    velocity, _ = learner.model(
        [video, audio], batch.sigma * 1000, caption, speech, reference_image=batch.portrait, kept=batch.kept
    )
    loss = (velocity - (batch.video_noise - batch.video))[:, :, 1:].square().mean()
    assert torch.allclose(learner(batch)["video"], loss, rtol=1e-5)


def test_a_given_mask_stands_in_for_the_predicted_one(learner: Learner) -> None:
    batch = make_batch()
    other_mask = 1 - batch.face_mask
    for is_given in (False, True):
        first = learner(replace(batch, mask_is_given=is_given))
        second = learner(replace(batch, mask_is_given=is_given, face_mask=other_mask))
        assert all(torch.equal(first[name], second[name]) != is_given for name in ("video", "audio"))
        assert not torch.equal(first["face_mask"], second["face_mask"])


def test_what_is_given_carries_no_loss(learner: Learner) -> None:
    batch = make_batch(kept_frames=2, kept_tokens=20)
    before = learner(batch)
    batch.video_noise[:, :, :2] += 5
    batch.audio_noise[:, :, :20] += 5
    after = learner(batch)
    assert before == after


@pytest.mark.parametrize(("kept_frames", "kept_tokens", "lossless"), [(FRAMES, 0, "video"), (1, None, "audio")])
def test_a_stream_that_is_given_entirely_has_no_loss(
    learner: Learner, kept_frames: int, kept_tokens: int | None, lossless: str
) -> None:
    batch = make_batch()
    tokens = batch.audio.shape[2] if kept_tokens is None else kept_tokens
    losses = learner(replace(batch, kept=kept_prefix(FRAMES, batch.audio.shape[2], kept_frames, tokens)))
    assert set(losses) == {"video", "audio", "face_mask"} - {lossless}


def test_the_audio_branch_alone_is_the_models_with_the_interactions_off(learner: Learner) -> None:
    batch = make_batch()
    off = Switches(audio_to_video=False, video_to_audio=False)
    beside_video = learner(replace(batch, switches=off))["audio"]
    alone = learner(replace(batch, video=None))
    assert set(alone) == {"audio"}
    assert torch.allclose(alone["audio"], beside_video, rtol=1e-5)


def test_checkpointing_changes_no_gradient(learner: Learner) -> None:
    checkpointed = Learner(learner.model, learner.caption_encoder, checkpointing=True)
    gradients = []
    for one in (learner, checkpointed):
        one.zero_grad()
        sum(one(make_batch()).values()).backward()
        gradients.append([p.grad.clone() for p in one.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 50
    for plain, again in zip(*gradients, strict=True):
        assert torch.equal(plain, again)
