"""Faces of pictures and clips, found with detectors of the user's: as masks, and as portraits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import folder_paths
import numpy
from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.checks import check_images
from ..uniavgen_core.face.choice import Choice, Numbered, every_face, largest, like_portrait
from ..uniavgen_core.face.detection import FaceDetector
from ..uniavgen_core.face.masks import (
    LONGEST_GAP_SECONDS,
    SMOOTHING_SECONDS,
    Progress,
    Search,
    describe,
    draw_faces,
    find_faces,
    outline_faces,
)
from ..uniavgen_core.face.models import (
    MESH,
    FaceMesh,
    FaceRecogniser,
    is_detector,
    is_recogniser,
    may_be_detector,
    open_detector,
)
from ..uniavgen_core.face.portrait import FACE_FRACTION, portrait_crop, portrait_fault
from ..uniavgen_core.face.shapes import ELLIPSE, HULL, SHAPES, Style
from ..uniavgen_core.face.tracks import Timing, Trajectory
from ..uniavgen_core.joint_latent import check_finite
from ..uniavgen_core.media.images import to_bytes, to_rgb
from .comfy_progress import progress_bar, show_text, warn
from .inputs import NOT_CONNECTED, chosen, frame_rate_input, linked

INSIGHTFACE = "insightface"
FOLDERS = (INSIGHTFACE, "detection")
"""Kinds of model folders: the one that other packs use, and ComfyUI's own for detectors."""
NO_DETECTOR = "no face detector in models/insightface"
NO_RECOGNISER = "no recognition model in models/insightface"
LARGEST, NUMBER, ALL, PORTRAIT = "largest", "number", "all", "portrait"
PER_CENT = 100
AS_IT_IS = "as it is"
ASPECTS = {"portrait (3:4)": 3 / 4, "square": 1.0, "landscape (4:3)": 4 / 3, "wide (16:9)": 16 / 9}
LOOKS = 8
"""Frames of a clip that are looked at for where its portrait lies."""

folder_paths.add_model_folder_path(INSIGHTFACE, str(Path(folder_paths.models_dir) / INSIGHTFACE))


def detector_input() -> io.Combo.Input:
    return io.Combo.Input(
        "detector",
        options=list(_detectors()) or [NO_DETECTOR],
        tooltip="A file of models/insightface or models/detection. YuNet may be used for any purpose; insightface's "
        "detectors (SCRFD: det_…, scrfd_…) are for non-commercial research only.",
    )


def _recogniser_choices() -> list[str]:
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


def _load_recogniser(recogniser: str) -> FaceRecogniser:
    """The recognition model of a choice; errors as in `load_detector`."""
    files = _files(FOLDERS)
    if recogniser not in files:
        raise FileNotFoundError(
            "There is no recognition model: put w600k_r50.onnx or another one of insightface's packs into "
            "models/insightface and press R, or choose the face by size or number."
        )
    return FaceRecogniser(files[recogniser])


def mesh_file() -> Path | None:
    """MediaPipe's face mesh where the user has it."""
    return next((path for name, path in _files(FOLDERS).items() if Path(name).name == MESH), None)


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


class FaceMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        face = [
            io.DynamicCombo.Option(LARGEST, []),
            io.DynamicCombo.Option(NUMBER, [_number_input()]),
            io.DynamicCombo.Option(ALL, []),
            io.DynamicCombo.Option(
                PORTRAIT,
                [
                    io.Combo.Input(
                        "recogniser",
                        options=_recogniser_choices(),
                        tooltip="A recognition model of insightface, such as w600k_r50.onnx.",
                    ),
                ],
            ),
        ]
        return io.Schema(
            node_id="UniAVGenFaceMask",
            display_name="UniAVGen Face Mask",
            category="mask",
            description="Finds faces in a picture or a clip, follows them, and gives a mask of them for each frame. "
            "The detector is a file of yours: YuNet may be used for any purpose, insightface's detectors are for "
            "non-commercial research only.",
            search_aliases=["face detection", "face tracking", "insightface", "yunet", "mask face"],
            inputs=[
                io.Image.Input("images", tooltip="A picture, or the frames of a clip."),
                detector_input(),
                io.Combo.Input(
                    "shape",
                    options=list(SHAPES),
                    default=ELLIPSE,
                    tooltip="hull: around the face's points: 468 where MediaPipe's face_landmark.onnx is there, else "
                    "eyes, nose and mouth.",
                ),
                io.Float.Input(
                    "margin",
                    default=10.0,
                    min=-50.0,
                    max=200.0,
                    step=1.0,
                    tooltip="What the shape grows by on each side, in per cent of the face.",
                ),
                io.Float.Input(
                    "feather",
                    default=10.0,
                    min=0.0,
                    max=200.0,
                    step=1.0,
                    tooltip="Width of the soft edge in per cent of the face.",
                ),
                frame_rate_input(),
                io.Int.Input(
                    "detect_every",
                    default=0,
                    min=0,
                    max=1000,
                    advanced=True,
                    tooltip="Frames from one look for faces to the next. 0: as few looks as their motion allows.",
                ),
                io.Float.Input(
                    "longest_gap",
                    default=LONGEST_GAP_SECONDS,
                    min=0.0,
                    max=60.0,
                    step=0.1,
                    advanced=True,
                    tooltip="Seconds for which a face that is not found is taken to be there still.",
                ),
                io.Float.Input(
                    "smoothing",
                    default=SMOOTHING_SECONDS,
                    min=0.0,
                    max=5.0,
                    step=0.1,
                    advanced=True,
                    tooltip="Seconds over which places are smoothed, as far ahead as back. 0: not at all.",
                ),
                io.DynamicCombo.Input(
                    "face",
                    options=face,
                    tooltip="Which one. largest: over the whole shot. number: from left to right. all. portrait: the "
                    "one most like a given portrait.",
                ),
                io.Image.Input(
                    "portrait", optional=True, tooltip="With face 'portrait': shows the person who is looked for."
                ),
            ],
            outputs=[io.Mask.Output(), io.String.Output(display_name="report")],
        )

    @classmethod
    def fingerprint_inputs(cls, shape: str, **others: Any) -> str:
        """A hull is another one when the mesh's file has come or gone."""
        return str(mesh_file()) if shape == HULL else ""

    @classmethod
    def execute(
        cls,
        images: Tensor,
        detector: str,
        shape: str,
        margin: float,
        feather: float,
        frame_rate: float,
        detect_every: int,
        longest_gap: float,
        smoothing: float,
        face: dict[str, Any] | None = None,
        portrait: Any = NOT_CONNECTED,
        **of_other_options: Any,
    ) -> io.NodeOutput:
        face = chosen("face", face)
        if face["face"] == PORTRAIT:
            face = face | {"portrait": linked("portrait", portrait, "face 'portrait' needs who is looked for")}
        frames = _frames(images)
        finder = load_detector(detector)
        path = mesh_file() if shape == HULL else None
        mesh = None if path is None else FaceMesh(path)
        timing = Timing.of_seconds(longest_gap, smoothing, frame_rate)
        search = Search(_choice(face, frames, finder), timing, detect_every)
        stages = _stages(2 if mesh is None else 3, len(frames))
        found = _found(frames, finder, search, next(stages))
        if mesh is not None:
            found = outline_faces(mesh, frames, found, timing.smoothing, next(stages))
        style = Style(shape, margin / PER_CENT, feather / PER_CENT)
        masks = draw_faces(frames, found, style, next(stages))
        report = describe(found, len(frames), frame_rate)
        show_text(report)
        return io.NodeOutput(masks, report)


class FacePortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        face = [io.DynamicCombo.Option(LARGEST, []), io.DynamicCombo.Option(NUMBER, [_number_input()])]
        return io.Schema(
            node_id="UniAVGenFacePortrait",
            display_name="UniAVGen Face Portrait",
            category="image/transform",
            description="Crops a picture to a good portrait of a face in it, never over the picture's border. The "
            "detector is a file of yours: YuNet may be used for any purpose, insightface's detectors are for "
            "non-commercial research only.",
            search_aliases=["crop face", "portrait crop", "framing"],
            inputs=[
                io.Image.Input("images", tooltip="A picture, or the frames of a clip, which all get the same crop."),
                detector_input(),
                io.Combo.Input(
                    "aspect_ratio",
                    options=[*ASPECTS, AS_IT_IS],
                    tooltip="Form of the portrait. as it is: the picture's own.",
                ),
                io.Float.Input(
                    "face_height",
                    default=FACE_FRACTION * PER_CENT,
                    min=8.0,
                    max=90.0,
                    step=1.0,
                    tooltip="Height of the face in per cent of the portrait. It gets larger where the picture is too "
                    "small.",
                ),
                io.DynamicCombo.Input(
                    "face", options=face, tooltip="Which one. largest: the largest. number: from left to right."
                ),
            ],
            outputs=[io.Image.Output(), io.String.Output(display_name="report")],
        )

    @classmethod
    def execute(
        cls,
        images: Tensor,
        detector: str,
        aspect_ratio: str,
        face_height: float,
        face: dict[str, Any] | None = None,
        **of_other_options: Any,
    ) -> io.NodeOutput:
        frames = _frames(images)
        finder = load_detector(detector)
        timing = Timing(longest_gap=len(frames), smoothing=0)
        every = -(-len(frames) // LOOKS)
        search = Search(_choice(chosen("face", face), frames, finder), timing, every)
        found = _found(frames, finder, search, progress_bar(len(frames)))
        box = numpy.median(numpy.concatenate([face.boxes[face.visible] for face in found]), axis=0)
        height, width = frames.shape[1:3]
        crop = portrait_crop((width, height), box, ASPECTS.get(aspect_ratio, width / height), face_height / PER_CENT)
        cut = images[:, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        fraction = (box[3] - box[1]) / crop.height
        report = f"The face takes {fraction:.0%} of the height of {crop.width} × {crop.height} pixels."
        show_text(report)
        return io.NodeOutput(cut.contiguous(), report)


def _number_input() -> io.Int.Input:
    return io.Int.Input(
        "number",
        default=1,
        min=1,
        max=1000,
        tooltip="1 is the face farthest to the left. A face keeps its number until the film is cut.",
    )


def _frames(images: Tensor) -> Tensor:
    """Pictures (F, height, width, 3) of the node's input."""
    check_images("images", images)
    check_finite("images", images)
    return to_rgb(images)


def _choice(face: dict[str, Any], frames: Tensor, finder: FaceDetector) -> Choice:
    """Which faces are meant."""
    if face["face"] == NUMBER:
        return Numbered(face["number"])
    if face["face"] == PORTRAIT:
        check_images("portrait", face["portrait"])
        recogniser = _load_recogniser(face["recogniser"])
        return like_portrait(to_bytes(to_rgb(face["portrait"][0])), finder, recogniser, frames)
    return every_face if face["face"] == ALL else largest


def _stages(count: int, frames: int) -> Iterator[Progress]:
    """One progress bar for several passes over the frames: what each pass tells."""
    show = progress_bar(count * frames)

    def show_from(before: int, done: int) -> None:
        show(before + done)

    return (partial(show_from, stage * frames) for stage in range(count))


def _found(frames: Tensor, finder: FaceDetector, search: Search, show: Progress) -> list[Trajectory]:
    """The faces that are meant.

    Raises:
        ValueError: there are none; it says what to do.
    """
    found = find_faces(frames, finder, search, show)
    if not found.most:
        raise ValueError(
            f"No face is found in images ({len(frames)} of {frames.shape[2]} × {frames.shape[1]} pixels): give "
            "pictures that show one from the front, or choose another detector."
        )
    if not found.chosen:
        raise ValueError(
            f"images shows {found.most} face{'s' if found.most > 1 else ''}, and none of them is meant: choose "
            f"a number up to {found.most}, another portrait, or 'largest'."
        )
    return found.chosen


def any_detector(need: str) -> FaceDetector:
    """A detector of the user's, the one that is loaded the quickest.

    Args:
        need: what to do instead, for the message.

    Raises:
        FileNotFoundError: there is none.
    """
    known = _known_detectors()
    if not known:
        raise FileNotFoundError(
            f"{need}, or put YuNet (face_detection_yunet_2023mar.onnx) into models/insightface, which finds the face "
            "by itself."
        )
    return open_detector(known[0])


def _known_detectors() -> list[Path]:
    """Those that are known by their names, the smallest first, which is loaded the quickest."""
    known = [path for file, path in _files(FOLDERS).items() if is_detector(file)]
    return sorted(known, key=lambda path: path.stat().st_size)


def warn_of_portrait(name: str, image: Tensor) -> None:
    """Say so, in the log and on the node, where a portrait shows no face or a small one.

    Without a detector nothing is said, and whatever is wrong with one stops nothing.

    Args:
        name: of the portrait's input.
        image: (n, height, width, channels) of values 0..1; the first one is looked at.
    """
    for path in _known_detectors():
        try:
            fault = portrait_fault(name, image[:1], open_detector(path))
        # A check that only advises must not stop a clip, whatever a library or a file does.
        except Exception as error:
            logging.info("UniAVGen: %s was not checked for a face with %s: %s", name, path.name, error)
            continue
        if fault is not None:
            warn("UniAVGen", [fault])
        return
