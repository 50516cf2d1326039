"""Runs of the workflows: short ones of small pictures, and what was saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import soundfile
from PIL import Image

from comfy.graphs import (
    Prompt,
    api_workflow,
    for_this_version,
    id_of,
    ids_of,
    nodes_of,
    set_inputs,
)
from comfy.server import ComfyServer
from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE, pixel_frames
from uniavgen_core.joint_latent import check_seconds
from uniavgen_core.speech.duration import seconds_for_speech

CAPTION_ENCODER = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
VIDEO_VAE = "wan2.2_vae.safetensors"
WAN_21_VAE = "wan_2.1_vae.safetensors"
ACE_STEP = "ace_step_v1_3.5b.safetensors"
OTHER_GENERATOR = "wan2.2_ti2v_5B_fp16.safetensors"
UPSCALER = "2xNomosUni_compact_multijpg.safetensors"
INTERPOLATOR = "rife_v4.26.safetensors"
YUNET = "face_detection_yunet_2023mar.onnx"
STEPS = 3
WIDTH, HEIGHT = 128, 160
REAL_MEDIA = {"LoadImage": "image", "LoadVideo": "file", "LoadAudio": "audio"}
"""Core nodes that ask for a file, and the input that names it."""


def media_of(name: str) -> dict[str, str]:
    """The real file that each loader of media takes in a workflow."""
    sound = "driving.wav" if name == "audio_driven" else "basic_ref_en.wav"
    picture = "pair.png" if name in ("two_speakers", "dialogue", "two_voices", "recordings") else "woman.png"
    return {"LoadImage": picture, "LoadVideo": "dubbing.mp4", "LoadAudio": sound}


def edited(name: str) -> Prompt:
    """A workflow in API form, with the test's changes: few steps, small pictures, short clips, files that are there."""
    prompt = api_workflow(name)
    for kind in ("UniAVGenSampler", "UniAVGenScheduler"):
        for node in nodes_of(prompt, kind):
            node["inputs"]["steps"] = STEPS
    for kind, file in media_of(name).items():
        for node in nodes_of(prompt, kind):
            node["inputs"][REAL_MEDIA[kind]] = file
    if ids_of(prompt, "CLIPLoader"):
        if name != "universe1":
            set_inputs(prompt, "UniAVGenLatent", size="custom", size__width=WIDTH, size__height=HEIGHT)
        replace_caption_encoder(prompt)
    if ids_of(prompt, "UniVerse1Latent"):
        set_inputs(prompt, "UniVerse1Schedule", steps=STEPS)
        set_inputs(prompt, "UniVerse1Latent", seconds=0.36, size="512 × 512")
        # The real one has no small size.
        prompt[id_of(prompt, "CheckpointLoaderSimple")] = {"class_type": "HarnessAceStep", "inputs": {}}
    if name == "chain_upscale":
        set_inputs(prompt, "KSampler", steps=STEPS)
        set_inputs(prompt, "Wan22ImageToVideoLatent", width=WIDTH, height=HEIGHT, length=33)
    if name in ("long_form", "script"):
        set_inputs(prompt, "UniAVGenLatent", seconds=1.5)
        set_inputs(prompt, "UniAVGenScript", script="A woman. | Hello, my friends. [pause 0.5] It is me.")
    if name in ("dialogue", "two_voices", "cuts"):
        set_inputs(prompt, "UniAVGenLatent", seconds=1.5)
        cut = "[scene 2] " if name == "cuts" else ""
        script = f"Two people. | [speaker 1] Hello. It is me.\n{cut}[speaker 2] Hello."
        set_inputs(prompt, "UniAVGenScript", script=script)
    transcript = "Some call me nature, others call me mother nature."
    for node in nodes_of(prompt, "UniAVGenSpeakerVoice") if name in ("two_voices", "cuts") else ():
        # Of the recording that stands for all.
        node["inputs"]["transcript"] = transcript
    if name == "reference_voice":
        set_inputs(prompt, "UniAVGenConditioning", reference_transcript=transcript)
    if name == "compare":
        set_inputs(prompt, "PrimitiveStringMultiline", value="Hello, it is me.")
    if name in ("chain_upscale", "chain_interpolation", "two_speakers", "face_map"):
        set_inputs(prompt, "UniAVGenConditioning", speech="Hello, it is me.")
    return prompt


def replace_caption_encoder(prompt: Prompt) -> None:
    """The tiny bundle's caption encoder in the place of umT5-XXL, which cannot be had for a test."""
    encoder = id_of(prompt, "CLIPLoader")
    del prompt[encoder]
    prompt["100"] = {"class_type": "UniAVGenTinyLoader", "inputs": {}}
    for node in prompt.values():
        if node["inputs"].get("clip") == [encoder, 0]:
            node["inputs"]["clip"] = ["100", 1]


def run(server: ComfyServer, prompt: Prompt) -> dict[str, Any]:
    """The outputs of a prompt, without inputs that this ComfyUI does not know."""
    return server.run(for_this_version(prompt, server.object_info()))


def clip_of(server: ComfyServer, prompt: Prompt, outputs: dict[str, Any]) -> Path:
    saver = ids_of(prompt, "SaveVideo")[0]
    return saved_clip(server, {saver: outputs[saver]})


def saved_clip(server: ComfyServer, outputs: dict[str, Any]) -> Path:
    (file,) = server.output_files(outputs)
    assert file.parent == server.base / "output" / "video"
    return file


def read_clip(file: Path) -> tuple[numpy.ndarray, numpy.ndarray, list[float]]:
    """Pictures (F, H, W, 3) of bytes, sound (channels, samples), and the seconds of both."""
    with av.open(file) as container:
        assert sorted(stream.type for stream in container.streams) == ["audio", "video"]
        video, audio = container.streams.video[0], container.streams.audio[0]
        seconds = [float(stream.duration * stream.time_base) for stream in (video, audio)]
        pictures = numpy.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video)])
        container.seek(0)
        sound = numpy.concatenate([frame.to_ndarray() for frame in container.decode(audio)], axis=1)
    return pictures, sound, seconds


def check_clip(file: Path, frames: int | None = None, frame_rate: float = FRAME_RATE) -> numpy.ndarray:
    """The saved file is a clip: picture and sound of one length, movement, something to hear. Its pictures."""
    pictures, sound, seconds = read_clip(file)
    if frames is not None:
        assert len(pictures) == frames
    assert seconds == pytest.approx([len(pictures) / frame_rate] * 2, abs=1 / frame_rate)
    changes = numpy.abs(numpy.diff(pictures.astype(float), axis=0)).mean(axis=(1, 2, 3))
    # Real clips of the small model's world move by 0.4 to 2 levels of 255 a frame, made ones above all in each fourth.
    quarters = numpy.array_split(changes, max(1, round(4 * len(changes) / frame_rate)))
    assert numpy.mean([quarter.max() > 0.1 for quarter in quarters]) > 0.8, (
        f"the picture stands still: {changes.round(1)}"
    )
    assert sound.std() > 1e-3, "the sound is silent"
    return pictures


def frames_of_joint(prompt: Prompt) -> int:
    """Frames that a workflow of joint generation promises."""
    speech = prompt[id_of(prompt, "UniAVGenConditioning")]["inputs"]["speech"]
    wanted = prompt[id_of(prompt, "UniAVGenLatent")]["inputs"]["seconds"]
    return pixel_frames(check_seconds(wanted or seconds_for_speech(speech, "en")))


def distance(first: numpy.ndarray, second: numpy.ndarray) -> float:
    """Mean absolute difference of pictures of bytes, in levels."""
    return float(numpy.abs(first.astype(float) - second).mean())


def read_pictures(files: list[Path]) -> numpy.ndarray:
    """Pictures (F, H, W, 3) of bytes."""
    return numpy.stack([numpy.asarray(Image.open(file)) for file in files])


def read_clip_pictures(file: Path) -> numpy.ndarray:
    with av.open(file) as container:
        return numpy.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def add_save(prompt: Prompt, source: list[Any], prefix: str) -> str:
    """Save pictures or a video beside what the workflow saves; the node's id."""
    kind = prompt[source[0]]["class_type"]
    if kind != "LoadVideo":
        prompt["201"] = {"class_type": "CreateVideo", "inputs": {"images": source, "fps": FRAME_RATE, "bit_depth": 8}}
        source = ["201", 0]
    inputs = prompt[id_of(prompt, "SaveVideo")]["inputs"] | {"video": source, "filename_prefix": prefix}
    prompt["200"] = {"class_type": "SaveVideo", "inputs": inputs}
    return "200"


def save_parts(prompt: Prompt, key: str, video: str) -> None:
    """Save frames and sound of a node's VIDEO under node ids that begin with `key`."""
    prompt[key + "_parts"] = {"class_type": "GetVideoComponents", "inputs": {"video": [video, 0]}}
    for output, kind, name in ((0, "SaveImage", "images"), (1, "SaveAudio", "audio")):
        inputs = {name: [key + "_parts", output], "filename_prefix": f"{key}_{name}"}
        prompt[f"{key}_{name}"] = {"class_type": kind, "inputs": inputs}


def read_parts(server: ComfyServer, outputs: dict[str, Any], key: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pictures (F, H, W, 3) of bytes and sound (samples,) that `save_parts` saved."""
    (sound,) = server.output_files({key: outputs[f"{key}_audio"]})
    samples, rate = soundfile.read(sound)
    assert rate == SAMPLE_RATE
    return read_pictures(server.output_files({key: outputs[f"{key}_images"]})), samples


def save_mask(prompt: Prompt, mask: list[Any]) -> None:
    """Save a MASK as pictures, under the node id "mask"."""
    prompt["mask_image"] = {"class_type": "MaskToImage", "inputs": {"mask": mask}}
    prompt["mask"] = {"class_type": "SaveImage", "inputs": {"images": ["mask_image", 0], "filename_prefix": "mask"}}


def read_saved_mask(server: ComfyServer, outputs: dict[str, Any]) -> numpy.ndarray:
    """What `save_mask` saved, (n, height, width), 0..255."""
    return read_pictures(server.output_files({"mask": outputs["mask"]}))[..., 0].astype(float)
