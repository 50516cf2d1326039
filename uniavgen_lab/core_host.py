"""Long clips of the small model without ComfyUI."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from uniavgen_core.audio.vocoder import GriffinLim
from uniavgen_core.config import MEL_BANDS
from uniavgen_core.face.steering import REPLACE, FaceGuidance
from uniavgen_core.joint_latent import denormalise_mel, normalise_mel, stream_shapes
from uniavgen_core.long_form.cast import Cast
from uniavgen_core.long_form.script import Line
from uniavgen_core.long_form.step import SegmentRequest
from uniavgen_core.sampling.euler import Clip
from uniavgen_core.sampling.guidance import Guidance
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tasks import kept_prefix
from uniavgen_core.tiny.bundle import TinyBundle

from . import pipeline
from .evaluation.predicted_masks import face_patches


class CoreHost:
    """Samples, encodes and decodes segments with a bundle.

    Args:
        portrait: (1, H, W, channels) of values 0..1: who is seen.
        cast: the voices of several speakers, further scenes, and the faces in them.
        width, height: of the clip, to which the portrait is cropped.
        steps, shift, guidance: how segments are sampled.

    Raises:
        ValueError: the size cannot be had.
    """

    def __init__(
        self,
        bundle: TinyBundle,
        portrait: Tensor,
        width: int,
        height: int,
        *,
        steps: int = pipeline.STEPS,
        shift: float = pipeline.SHIFT,
        guidance: Guidance = pipeline.GUIDANCE,
        cast: Cast = Cast(),  # noqa: B008 - frozen
    ):
        self.bundle, self.size = bundle, (width, height)
        self.steps, self.shift, self.guidance = steps, shift, guidance
        self.cast = cast
        images = [portrait if scene.picture is None else scene.picture for scene in cast.scenes]
        self.pictures = [pipeline.encode_portrait(bundle, image, width, height) for image in images]
        self.reader = SpeechReader()

    def start(self) -> tuple[Tensor, Tensor]:
        return self.pictures[0], torch.zeros(1, 1, 0, MEL_BANDS)

    def picture(self, scene: int) -> Tensor:
        return self.pictures[scene - 1]

    def identity(self) -> str:
        parts = (self.bundle.model, self.bundle.codec, self.bundle.caption_encoder)
        tensors = [self.pictures[0], *(tensor for part in parts for tensor in part.state_dict().values())]
        digest = hashlib.sha256(b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)).hexdigest()
        return repr((digest, self.size, self.steps, self.shift, self.guidance))

    def identity_of(self, line: Line) -> str:
        return self.cast.key(line)

    @torch.no_grad()
    def sample(self, request: SegmentRequest) -> tuple[Tensor, Tensor]:
        shapes = stream_shapes(request.latent_frames, *self.size)
        video, audio = torch.zeros(shapes[0]), torch.zeros(shapes[1])
        video[:, :, : request.video.shape[2]] = request.video
        audio[:, :, : request.mel.shape[2]] = normalise_mel(request.mel)
        kept = kept_prefix(request.latent_frames, shapes[1][2], request.video.shape[2], request.mel.shape[2])
        line, voice = request.line, self.cast.voice(request.line.speaker)
        reference, transcript = None, None
        if voice is not None:
            reference, transcript = normalise_mel(voice.mel), voice.transcript.text
        clip = Clip(video, audio, kept, self.pictures[line.scene - 1], reference)
        spoken, silent = self.reader.speech_symbols(request.words, "auto", transcript)
        positive, negative = (
            pipeline.condition(self.bundle, caption, symbols)
            for caption, symbols in ((line.caption, spoken), ("", silent))
        )
        with face_patches(self.bundle.model, lambda timestep: self._guidance(request)):
            video, audio = pipeline.sample_clip(
                self.bundle, clip, positive, negative, seed=request.seed,
                steps=self.steps, shift=self.shift, guidance=self.guidance,
            )  # fmt: skip
        return video, denormalise_mel(audio)

    def _guidance(self, request: SegmentRequest) -> list[FaceGuidance]:
        """What says whose face speaks, where that is known."""
        if not self.cast.tells(request):
            return []
        _, down, across = self.bundle.model.sizes.patch
        height, width = self.pictures[0].shape[-2:]
        tokens = self.cast.tokens(request, height // down, width // across)
        return [FaceGuidance(tokens, REPLACE)]

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        return self.bundle.codec.encode_frames(frames)

    def decode_video(self, video: Tensor) -> Tensor:
        return pipeline.decode_video(self.bundle, video)

    @torch.no_grad()
    def decode_audio(self, mel: Tensor) -> Tensor:
        return GriffinLim()(mel[:, 0])[0]
