"""The user's face models: where they lie, and which are which."""

from __future__ import annotations

import logging
from pathlib import Path

import folder_paths
from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.face.detection import FaceDetector
from ..uniavgen_core.face.files import MESH, is_detector, is_recogniser, may_be_detector, open_detector
from ..uniavgen_core.face.insightface_models import Recogniser
from ..uniavgen_core.face.mesh import FaceMesh
from ..uniavgen_core.face.portrait import portrait_fault
from .comfy_progress import show_text

INSIGHTFACE = "insightface"
FOLDERS = (INSIGHTFACE, "detection")
"""Kinds of model folders: the one that other packs use, and ComfyUI's own for detectors."""
NO_DETECTOR = "no face detector in models/insightface"
NO_RECOGNISER = "no recognition model in models/insightface"

folder_paths.add_model_folder_path(INSIGHTFACE, str(Path(folder_paths.models_dir) / INSIGHTFACE))


def detector_input() -> io.Combo.Input:
    return io.Combo.Input(
        "detector",
        options=list(_detectors()) or [NO_DETECTOR],
        tooltip="A file of models/insightface or models/detection. YuNet may be used for any purpose; insightface's "
        "detectors (SCRFD: det_…, scrfd_…) are for non-commercial research only.",
    )


def recogniser_choices() -> list[str]:
    """Recognition models, or what says that there are none."""
    return [name for name in _files(FOLDERS) if is_recogniser(name)] or [NO_RECOGNISER]


def load_detector(detector: str) -> FaceDetector:
    """The detector of a choice.

    Raises:
        FileNotFoundError: it is gone.
        NotInstalledError: a library is not installed.
        ValueError: the file is no detector.
    """
    files = _detectors()
    if detector not in files:
        raise FileNotFoundError(
            "There is no face detector. Put YuNet (face_detection_yunet_2023mar.onnx) or a model pack of insightface "
            "(models/buffalo_l/det_10g.onnx) into models/insightface and press R; the node's help says which is for "
            "what."
        )
    return open_detector(files[detector])


def load_recogniser(recogniser: str) -> Recogniser:
    """The recognition model of a choice; errors as in `load_detector`."""
    files = _files(FOLDERS)
    if recogniser not in files:
        raise FileNotFoundError(
            "There is no recognition model: put w600k_r50.onnx or another one of insightface's packs into "
            "models/insightface and press R, or choose the face by size or number."
        )
    return Recogniser(files[recogniser])


def mesh_file() -> Path | None:
    """MediaPipe's face mesh where the user has it."""
    return next((path for name, path in _files(FOLDERS).items() if Path(name).name == MESH), None)


def load_mesh() -> FaceMesh | None:
    """MediaPipe's face mesh where the user has it."""
    path = mesh_file()
    return None if path is None else FaceMesh(path)


def warn_of_portrait(name: str, picture: Tensor) -> None:
    """Say so, in the log and on the node, where a portrait shows no face or a small one.

    Without a detector nothing is said, and whatever is wrong with one stops nothing.

    Args:
        name: of the portrait's input.
        picture: (n, height, width, channels) of values 0..1; the first one is looked at.
    """
    known = [path for file, path in _files(FOLDERS).items() if is_detector(file)]
    # The smallest one is the quickest to load.
    for path in sorted(known, key=lambda path: path.stat().st_size):
        try:
            fault = portrait_fault(name, picture[:1], open_detector(path))
        # A check that only advises must not stop a clip, whatever a library or a file does.
        except Exception as error:
            logging.info("UniAVGen: %s was not checked for a face with %s: %s", name, path.name, error)
            continue
        if fault is not None:
            logging.warning("UniAVGen: %s", fault)
            show_text(fault)
        return


def _detectors() -> dict[str, Path]:
    """Detectors first, then files of insightface's folder that may be some."""
    known = {name: path for name, path in _files(FOLDERS).items() if is_detector(name)}
    return known | {name: path for name, path in _files((INSIGHTFACE,)).items() if may_be_detector(name)}


def _files(kinds: tuple[str, ...]) -> dict[str, Path]:
    """ONNX files by their names in their folders.

    Not through ComfyUI's list of file names: a pack that registers insightface's folder for files of torch would hide
    them from it.
    """
    found: dict[str, Path] = {}
    for kind in kinds:
        for folder in folder_paths.get_folder_paths(kind):
            names, _ = folder_paths.recursive_search(folder, excluded_dir_names=[".git"])
            for name in sorted(names):
                path = Path(folder) / name
                if name.lower().endswith(".onnx") and path.is_file():
                    found.setdefault(Path(name).as_posix(), path)
    return found
