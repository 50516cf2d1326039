"""The nodes of the pack."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .audition import ChooseVoice
from .best_of import BestOf
from .comfy_saving import SaveSubtitled
from .comparing import SideBySide
from .conditioning import ChangeCaption, Conditioning, ReferenceImage
from .edits import Range
from .face_guidance import FaceGuidanceNode, FaceMapCapture, FaceMapNode
from .faces import FaceMask, FacePortrait
from .latent_mask import LatentMask
from .latents import Latent
from .loaders import AudioCodecLoader, ModelLoader, TinyLoader, TinyPortrait
from .long_form import Join, LongForm, Script
from .media import AVMux
from .put_backs import PutBackNode
from .sampling import Guider, Sampler, Scheduler
from .sound_beds import SoundBed
from .speakers import Recordings, SceneNode, SpeakerVoice
from .universe import UniverseConditioning, UniverseLatent, UniverseSchedule, UniverseSoundDecode
from .waveform import WaveformNode
from .words import Words

NODES: list[type[io.ComfyNode]] = [
    ModelLoader,
    AudioCodecLoader,
    TinyLoader,
    TinyPortrait,
    Latent,
    LatentMask,
    Conditioning,
    ReferenceImage,
    ChangeCaption,
    Scheduler,
    Guider,
    Sampler,
    BestOf,
    Script,
    LongForm,
    Join,
    Range,
    PutBackNode,
    ChooseVoice,
    FaceGuidanceNode,
    FaceMapCapture,
    FaceMapNode,
    AVMux,
    FaceMask,
    FacePortrait,
    SpeakerVoice,
    SceneNode,
    Recordings,
    UniverseLatent,
    UniverseConditioning,
    UniverseSchedule,
    UniverseSoundDecode,
    SideBySide,
    SaveSubtitled,
    SoundBed,
    Words,
    WaveformNode,
]


class UniAVGenExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES


async def comfy_entrypoint() -> UniAVGenExtension:
    return UniAVGenExtension()
