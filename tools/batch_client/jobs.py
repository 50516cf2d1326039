"""The rows of the CSV file as prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from .table import NAME, BadTable, read_table
from .workflow import SLOTS, Prompt, Slot, WorkflowError, fill, holders, read_workflow, set_input, set_seconds

CHUNK = 4 * 2**20
IMAGE = "ref_image_path"
OPTIONAL = ("negative_prompt", "lang", "seed")
"""Columns without which a workflow's own values stay."""
MEDIA = set(
    ".png .jpg .jpeg .webp .bmp .gif .tif .tiff .avif .wav .mp3 .flac .ogg .opus .m4a .aac .wma .aif .aiff "
    ".mp4 .m4v .mov .mkv .webm .avi .ts .mts .m2ts .flv .3gp .mpg .mpeg .vob .wmv".split()
)
"""Suffixes of what a row may name."""
UPLOADS = "uniavgen_batch"
"""Subfolder of the server's input folder that takes the files of the rows."""
LANGUAGES = {"en": "English", "zh": "Chinese", "english": "English", "chinese": "Chinese", "auto": "auto"}
FORMS = {
    NAME: (r"\w([\w .-]*[\w-])?", "cannot be a file's name: use letters, digits, spaces and . _ - only"),
    "lang": ("|".join(LANGUAGES), f"is not a language, only {', '.join(LANGUAGES)}"),
    "seed": (r"\d+", "is not a whole number from 0 on"),
    "seconds": (r"(?=.*[1-9])\d{0,9}(\.\d*)?", "is not a number of seconds above 0"),
}
"""What the cells of a column must be like, and what is said where they are not."""
TASK_NAMES = {
    **dict.fromkeys(("0", "avg", "joint"), "joint_generation"),
    **dict.fromkeys(("1", "ravg"), "reference_voice"),
    **dict.fromkeys(("2", "a2v"), "audio_driven"),
    **dict.fromkeys(("3", "v2a"), "dubbing"),
}
"""Other names of tasks, the release's numbers among them."""


@dataclass(frozen=True)
class Job:
    """A row, ready to be sent.

    Attributes:
        key: hash of the prompt, in which files stand under names made from their content.
        row: number of the row, as a spreadsheet counts.
        name: what the result is called.
        task: name of the workflow.
        files: what the prompt reads, by the names under which it does.
    """

    key: str
    row: int
    name: str
    task: str
    prompt: Prompt
    files: dict[str, Path]


@dataclass(frozen=True)
class Choice:
    """Which workflow a row takes: the one of its task, or for all rows the same file.

    Attributes:
        folder: holds the workflows in API form, one a task.
        task: for rows without one; None: the task that suits what the row gives.
        allow_outside: whether a row may name files that do not lie below the CSV file's folder.
    """

    folder: Path
    task: str | None = None
    workflow: Path | None = None
    allow_outside: bool = False

    def file(self, values: Mapping[str, str]) -> Path:
        """The row's workflow; raises WorkflowError where the task is unknown."""
        if self.workflow:
            return self.workflow
        name = (values.get("task") or self.task or _suitable_task(values)).lower().replace("-", "_").replace(" ", "_")
        file = self.folder / f"{TASK_NAMES.get(name, name)}.json"
        known = sorted(file.stem for file in self.folder.glob("*.json"))
        if file.stem not in known:
            raise WorkflowError(f"there is no workflow for the task “{name}”, only for {', '.join(known)}")
        return file


def _suitable_task(values: Mapping[str, str]) -> str:
    if values.get("audio_path") and values.get("video_path"):
        raise WorkflowError("a sound and a video are given: say in the column task what to do")
    given = {"audio_path": "audio_driven", "video_path": "dubbing", "ref_audio_path": "reference_voice"}
    return next((task for column, task in given.items() if values.get(column)), "joint_generation")


def read_jobs(table: Path, choice: Choice, prefix: str, note: Callable[[str], None]) -> list[Job]:
    """All rows of a CSV file as jobs.

    Args:
        prefix: folder of the results in the server's output folder.
        note: told what is left out of a row.

    Raises:
        BadTable: says all that is wrong, each with its row and column.
        OSError: the file cannot be read.
    """
    header, rows = read_table(table)
    builder = _JobBuilder(table.parent, header, choice, prefix)
    jobs = [job for row, values in rows if (job := builder.build(row, values))]
    if builder.without_image:
        row = builder.without_image[0]
        note(f"Column {IMAGE} is not used where a video's own picture says who speaks, as in row {row}.")
    first: dict[str, Job] = {}
    for job in jobs:
        # Names of files that differ in case only are the same file on some systems.
        other = first.setdefault(job.name.casefold(), job)
        if other is not job:
            builder.problems.append(f"row {job.row}, column {NAME}: “{job.name}” is row {other.row}'s name, too.")
    if builder.problems:
        raise BadTable("\n".join(dict.fromkeys(builder.problems)))
    return jobs


@dataclass
class _JobBuilder:
    """Makes jobs of rows and collects what is wrong with them, and the rows whose portrait is left out."""

    folder: Path
    header: list[str]
    choice: Choice
    prefix: str
    problems: list[str] = field(default_factory=list)
    without_image: list[int] = field(default_factory=list)
    workflow: Callable[[Path], Prompt] = field(default_factory=lambda: cache(read_workflow))
    name_of: Callable[[Path], str] = field(default_factory=lambda: cache(remote_name))

    def build(self, row: int, values: Mapping[str, str]) -> Job | None:
        """The row's job; None, with the problems said, where it cannot be made."""
        before = len(self.problems)
        try:
            file = self.choice.file(values)
            job = Job("", row, values[NAME], file.stem, deepcopy(self.workflow(file)), {})
        except (WorkflowError, OSError) as error:
            self.problems.append(f"row {row}, column task: {error}.")
            return None
        for column in [*SLOTS, *(name for name in self.header if name not in SLOTS)]:
            try:
                self._set(job, column, values.get(column, ""))
            except WorkflowError as error:
                self.problems.append(f"row {row}, column {column}: {error}.")
        key = sha256(json.dumps(job.prompt, sort_keys=True).encode()).hexdigest()
        return replace(job, key=key) if len(self.problems) == before else None

    def _set(self, job: Job, column: str, text: str) -> None:
        slot = SLOTS.get(column)
        form, fault = FORMS.get(column, (".*", ""))
        if text and not re.fullmatch(form, text, re.IGNORECASE | re.DOTALL):
            raise WorkflowError(f"“{text}” {fault}")
        if slot and not text:
            self._leave_empty(job, column, slot)
        elif slot and slot.is_file:
            self._set_file(job, column, slot, text)
        elif slot:
            meant = {NAME: f"{self.prefix}/{text}", "lang": LANGUAGES.get(text.lower(), "")}.get(column, text)
            fill(job.prompt, slot, int(text) if column == "seed" else meant)
        elif "." in column and text:
            kind, _, name = column.partition(".")
            set_input(job.prompt, kind, name, text)
        elif column == "seconds" and text:
            set_seconds(job.prompt, float(text))

    def _leave_empty(self, job: Job, column: str, slot: Slot) -> None:
        has_place = bool(holders(job.prompt, slot))
        if column == "speech_content" and has_place and holders(job.prompt, SLOTS["audio_path"]):
            # Nobody has to know what a given sound says.
            fill(job.prompt, slot, "")
        elif (
            column in ("speech_content", "sound_content")
            and column in self.header
            and holders(job.prompt, SLOTS["sound_content"])
        ):
            # Nobody has to speak where other sounds can be told, nor has there to be another sound.
            fill(job.prompt, slot, "")
        elif column in ("prompt", "speech_content") and holders(job.prompt, SLOTS["script"]):
            return
        elif column == NAME or column not in OPTIONAL and has_place:
            if column in self.header:
                raise WorkflowError(f"is empty, but this workflow wants a {slot.noun}")
            self.problems.append(f"column {column} is missing, but the workflow wants a {slot.noun}.")

    def _set_file(self, job: Job, column: str, slot: Slot, text: str) -> None:
        if column == IMAGE and not holders(job.prompt, slot) and holders(job.prompt, SLOTS["video_path"]):
            self.without_image.append(job.row)
            return
        file = self._find(text)
        name = self.name_of(file)
        fill(job.prompt, slot, f"{UPLOADS}/{name}")
        job.files[name] = file

    def _find(self, text: str) -> Path:
        """A media file beside the CSV file, or else in the working folder, where the release looks for it."""
        found = next((path for path in (self.folder / text, Path(text)) if path.is_file()), None)
        if found is None:
            raise WorkflowError(f"there is no file {text}, neither beside the CSV file nor in the working folder")
        if found.suffix.lower() not in MEDIA:
            raise WorkflowError(f"{text} is no picture, sound or video by its name")
        # A link counts as what it leads to.
        if not self.choice.allow_outside and self.folder.resolve() not in found.resolve().parents:
            raise WorkflowError(f"{text} lies outside the CSV file's folder: move it there, or give --allow-outside")
        return found


def remote_name(file: Path, take: Callable[[bytes], object] = len) -> str:
    """The name under which a server gets a file: the same for the same content, so that it is there once only.

    Args:
        take: called with each part of the content.
    """
    digest = sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            take(chunk)
    return f"{digest.hexdigest()[:32]}{file.suffix.lower()}"
