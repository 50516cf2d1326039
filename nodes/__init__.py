"""The nodes of the pack."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .conditioning import ChangeCaption, Conditioning, ReferenceImage
from .face_guidance import FaceGuidanceNode, FaceMapCapture, FaceMapNode
from .faces import FaceMask, FacePortrait
from .latents import Latent
from .loaders import AudioCodecLoader, ModelLoader, TinyLoader, TinyPortrait
from .long_form import Join, LongForm, Script
from .media import AVMux
from .sampling import Guider, Sampler, Scheduler

NODES: list[type[io.ComfyNode]] = [
    ModelLoader,
    AudioCodecLoader,
    TinyLoader,
    TinyPortrait,
    Latent,
    Conditioning,
    ReferenceImage,
    ChangeCaption,
    Scheduler,
    Guider,
    Sampler,
    Script,
    LongForm,
    Join,
    FaceGuidanceNode,
    FaceMapCapture,
    FaceMapNode,
    AVMux,
    FaceMask,
    FacePortrait,
]


class UniAVGenExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES


async def comfy_entrypoint() -> UniAVGenExtension:
    return UniAVGenExtension()
