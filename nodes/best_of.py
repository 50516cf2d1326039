"""Best of several seeds: each is sampled for a few steps, the one whose lips follow its sound best is finished."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
from comfy_api.latest import io
from numpy.typing import NDArray
from torch import Tensor

from ..uniavgen_core.config import SEEDS, SPATIAL_COMPRESSION
from ..uniavgen_core.face.lip_sync import lip_sync, mouth_open_area
from ..uniavgen_core.face.models import MESH
from ..uniavgen_core.face.mouth_landmarks import MouthLandmarks
from ..uniavgen_core.joint_latent import check_shapes
from ..uniavgen_core.media.images import to_bytes
from ..uniavgen_core.sampling.guidance import first_steps
from ..uniavgen_core.tiny.bundle import SHORT_SIDE
from .comfy_codecs import TinyVideoCodec
from .comfy_guider import sample_steps
from .comfy_latent import kept_parts, streams
from .comfy_long_form import check_audio_vae
from .comfy_model import sizes_of
from .comfy_progress import check_interrupt, show_text
from .faces import detector_input, load_detector, mesh_file
from .inputs import seed_input
from .media import check_vae

Mouth = Callable[[NDArray[numpy.uint8]], NDArray[numpy.float64]]
"""How far the mouth is open in each frame (F, H, W, 3) of bytes: (F)."""

NO_FACE = -1.0
"""The least that lip sync can be stands for a clip in which no face is seen."""


class BestOf(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenBestOf",
            display_name="UniAVGen Best Of",
            category="model/sampling",
            description="Tries several seeds for a few steps, and finishes the one whose lips follow its sound best.",
            search_aliases=["uniavgen best of n", "pick seed", "lip sync score", "search seeds"],
            inputs=[
                io.Guider.Input("guider", tooltip="From UniAVGen Guider."),
                io.Sampler.Input("sampler", tooltip="euler goes on after the choice as if nothing had been chosen."),
                io.Sigmas.Input("sigmas", tooltip="The whole schedule, from UniAVGen Scheduler."),
                io.Latent.Input("latent_image", tooltip="From UniAVGen Latent, with a batch_size of 1."),
                io.Vae.Input("vae", tooltip="The picture's VAE, which decodes what is judged."),
                io.Vae.Input("audio_vae", tooltip="The VAE of UniAVGen Audio Codec Loader."),
                seed_input("seed", control_after_generate=True, tooltip="Of the first candidate; the others follow."),
                io.Int.Input("candidates", default=4, min=2, max=64, tooltip="How many seeds are tried."),
                io.Float.Input(
                    "tried_percent",
                    default=0.5,
                    min=0.01,
                    max=0.99,
                    step=0.01,
                    tooltip="Fraction of the steps, 0 to 1, that each candidate is sampled before it is judged by the "
                    "clip that the model then expects. The best one takes the rest of the steps.",
                ),
                detector_input(),
            ],
            outputs=[
                io.Latent.Output(tooltip="The best candidate, sampled to the end."),
                io.Int.Output(display_name="seed", tooltip="The best candidate's."),
                io.String.Output(display_name="report", tooltip="Lip sync of each candidate."),
            ],
        )

    @classmethod
    def validate_inputs(cls, detector: str) -> bool:
        """Any: drawn people need none, and a graph of theirs is not refused where there are others to choose from."""
        return True

    @classmethod
    def execute(
        cls,
        guider: Any,
        sampler: Any,
        sigmas: Tensor,
        latent_image: dict[str, Any],
        vae: Any,
        audio_vae: Any,
        seed: int,
        candidates: int,
        tried_percent: float,
        detector: str,
    ) -> io.NodeOutput:
        sizes_of(guider.model_patcher)  # Another model is refused.
        check_vae(vae)
        check_audio_vae(audio_vae)
        _check_clip(latent_image)
        steps = len(sigmas) - 1
        if steps < 2:
            raise ValueError(f"sigmas has {max(steps, 0)} steps: candidates are tried in some and finished in others.")
        tried = min(max(first_steps(steps, tried_percent), 1), steps - 1)
        mouth = _mouth(vae, detector, latent_image)

        lines = [f"Lip sync after {tried} of {steps} steps:"]
        best: tuple[float, int, dict[str, Any]] | None = None
        for candidate in range(candidates):
            own_seed = (seed + candidate) % SEEDS
            part, expected = sample_steps(guider, own_seed, sampler, sigmas, latent_image, end=tried)
            score = _judged(mouth, vae, audio_vae, expected)
            lines.append(f"seed {own_seed}: {'no face is seen' if score == NO_FACE else f'{score:.3f}'}")
            show_text("\n".join(lines))
            # Only the best one so far is held.
            if best is None or score > best[0]:
                best = score, own_seed, part
        assert best is not None
        lines.append(f"Finished: seed {best[1]}")
        show_text("\n".join(lines))
        finished, _ = sample_steps(guider, None, sampler, sigmas, best[2], start=tried)
        return io.NodeOutput(finished, best[1], "\n".join(lines))


def _check_clip(latent: dict[str, Any]) -> None:
    """Refuse what has no lips that could follow a sound, or several clips."""
    shapes = [stream.shape for stream in streams(latent)]
    check_shapes(shapes)
    if shapes[0][0] > 1:
        raise ValueError(f"latent_image holds {shapes[0][0]} clips: set batch_size to 1; candidates says how many.")
    if shapes[0][2] == 1:
        raise ValueError(
            "latent_image has no moving picture, so there are no lips to judge: listen to voices with UniAVGen Choose "
            "Voice, or give a LATENT of another task."
        )
    kept = kept_parts(latent)
    if kept.all_video and kept.all_audio:
        raise ValueError("latent_image leaves nothing to generate: picture and sound are both kept.")


def _mouth(vae: Any, detector: str, latent: dict[str, Any]) -> Mouth:
    """What sees the mouth: of the small model's drawn faces by their colours, of all others by landmarks.

    Raises:
        FileNotFoundError: there is no detector, or no face mesh.
        NotInstalledError: onnxruntime or OpenCV is not installed.
        ValueError: the small model's picture is not of one person.
    """
    if isinstance(vae, TinyVideoCodec):
        height, width = (size * SPATIAL_COMPRESSION for size in streams(latent)[0].shape[-2:])
        if (height, width) != (SHORT_SIDE, SHORT_SIDE):
            raise ValueError(
                f"The lips of drawn people are judged in pictures of one, {SHORT_SIDE}×{SHORT_SIDE} pixels, but "
                f"latent_image is of {width}×{height}."
            )
        return mouth_open_area
    mesh = mesh_file()
    if mesh is None:
        raise FileNotFoundError(
            f"There is no face mesh: lips of real people are judged by MediaPipe's landmarks. Put {MESH} into "
            "models/insightface and press R."
        )
    landmarks, faces = MouthLandmarks(mesh), load_detector(detector)
    return lambda frames: landmarks.openings(frames, faces, check_interrupt)


def _judged(mouth: Mouth, vae: Any, audio_vae: Any, latent: dict[str, Any]) -> float:
    """Lip sync of a clip, or NO_FACE."""
    video, audio = streams(latent)
    waveform = audio_vae.decode(audio)[0].mean(dim=-1).cpu().numpy()
    frames = to_bytes(vae.decode(video)[0].cpu())
    check_interrupt()
    try:
        openings = mouth(frames)
    except ValueError:
        return NO_FACE
    return lip_sync(openings, waveform)
