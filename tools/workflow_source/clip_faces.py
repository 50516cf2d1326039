"""The templates' pictures, which the template browser shows: the face of the clip itself, in the middle of a word."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy
from comfy.install import HOW_TO_SET, find_install
from comfy.server import ComfyServer
from PIL import Image

from uniavgen_core.face.lip_sync import mouth_open_area
from uniavgen_lab.world.animation import animate

from .sample_media import MAN, MOOD, WOMAN, draw_poses, envelope_of, speak_words
from .saved_forms import prompt_of
from .templates import TemplateForm, forms

SIZE = 384
QUALITY = 88
LONGEST_RUN = 900
"""Seconds that ComfyUI may take for a clip of the small model."""
PEOPLE: dict[str, tuple[tuple[str, int], ...]] = {
    "joint_generation": (WOMAN,),
    "reference_voice": (("grandfather", 550000033),),
    "audio_driven": (("woman", 550000033),),
    "dubbing": (("man", 550000034),),
    "resync": (("woman", 550000007),),
    "retake": (("man", 550000004),),
    "continuation": (("child", 550000033),),
    "bridge": (("woman", 550000017),),
    "script": (("man", 550000036),),
    "dialogue": (WOMAN, MAN),
    "two_speakers": (("grandfather", 550000011), ("child", 550000037)),
}
"""Who stands for the released model's clip of each task: it begins with a portrait of the user's."""


def make_faces(names: Collection[str], pack: Path) -> None:
    """Write the picture of each template of these descriptions, or of all where there is none.

    Raises:
        RuntimeError: there is no ComfyUI to make the small model's clips with.
    """
    chosen = [form for form in forms() if not names or form.template.describe.__name__ in names]
    for form in chosen:
        if not form.tiny:
            _write(form, _drawn(PEOPLE[form.template.describe.__name__]), pack)
    small = [form for form in chosen if form.tiny]
    install = find_install(os.environ, pack)
    if install is None:
        raise RuntimeError(HOW_TO_SET)
    with TemporaryDirectory() as folder, ComfyServer(install, Path(folder), [pack]) as server:
        for sample in (pack / "web" / "samples").iterdir():
            server.add_input(sample)
        for form in small:
            (clip,) = server.output_files(server.run(prompt_of(form.flow()), LONGEST_RUN))
            _write(form, _spoken(clip), pack)


def _drawn(people: tuple[tuple[str, int], ...]) -> list[numpy.ndarray]:
    """A picture (h, w, 3) of bytes of each, the first one speaking."""
    sound, phonemes = speak_words(people[0], "Hello.")
    poses = animate(phonemes, envelope_of(sound), MOOD, len(envelope_of(sound)), 0)
    speaking = max(poses, key=lambda pose: pose.mouth_open)
    return [draw_poses(who, [poses[0] if index else speaking], SIZE)[0] for index, who in enumerate(people)]


def _spoken(clip: Path) -> list[numpy.ndarray]:
    """The frame of a clip whose mouth, or left mouth, is open widest, as a picture (h, w, 3) of each person."""
    with av.open(clip) as container:
        frames = numpy.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    height, width = frames.shape[1:3]
    people = numpy.split(frames, max(1, width // height), axis=2)
    # Not the first ones, which are the portrait.
    open_most = int(numpy.argmax(mouth_open_area(people[0])[4:])) + 4
    return [person[open_most] for person in people]


def _write(form: TemplateForm, people: list[numpy.ndarray], pack: Path) -> None:
    """A square picture; of two people the middle of each."""
    width = SIZE // len(people)
    square = Image.new("RGB", (SIZE, SIZE))
    for index, person in enumerate(people):
        large = Image.fromarray(person).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
        left = (SIZE - width) // 2
        square.paste(large.crop((left, 0, left + width, SIZE)), (index * width, 0))
    for name in form.pictured_files:
        square.save(pack / "workflows" / f"{name}.jpg", quality=QUALITY, optimize=True)
