"""The rows of the CSV file as prompts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from .table import (
    AUDIO,
    CAPTION,
    FILES,
    HEARD,
    IMAGE,
    NAME,
    SCRIPT,
    SPEECH,
    TEXTS,
    VIDEO,
    BadTable,
    read_table,
)
from .workflow import (
    SLOTS,
    Prompt,
    Slot,
    WorkflowError,
    fill,
    holders,
    read_workflow,
    set_input,
    set_seconds,
)

CHUNK = 4 * 2**20
MEDIA = {
    f".{suffix}"
    for suffix in (
        "png jpg jpeg webp bmp gif tif tiff avif wav mp3 flac ogg opus m4a aac wma aif aiff "
        "mp4 m4v mov mkv webm avi ts mts m2ts flv 3gp mpg mpeg vob wmv"
    ).split()
}
"""Suffixes of what a row may name."""
UPLOADS = "uniavgen_batch"
"""Subfolder of the server's input folder that takes the files of the rows."""
LANGUAGES = {"en": "English", "zh": "Chinese", "english": "English", "chinese": "Chinese", "auto": "auto"}
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
    files: Mapping[str, Path]


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
    builder = _JobBuilder(table.parent, header, choice, prefix, note)
    jobs = [job for row, values in rows if (job := builder.build(row, values))]
    problems = [*dict.fromkeys(builder.problems), *_repetitions(jobs)]
    if problems:
        raise BadTable("\n".join(problems))
    return jobs


def _repetitions(jobs: list[Job]) -> Iterator[str]:
    first: dict[str, Job] = {}
    for job in jobs:
        # Names of files that differ in case only are the same file on some systems.
        other = first.setdefault(job.name.casefold(), job)
        if other is not job:
            yield f"row {job.row}, column {NAME}: “{job.name}” is row {other.row}'s name, too."


@dataclass
class _Draft:
    """A row that becomes a job."""

    row: int
    prompt: Prompt
    files: dict[str, Path] = field(default_factory=dict)


class _JobBuilder:
    """Makes jobs of rows and collects what is wrong with them."""

    def __init__(
        self, folder: Path, header: list[str], choice: Choice, prefix: str, note: Callable[[str], None]
    ) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._header = header
        self._choice = choice
        self._prefix = prefix
        self._note = note
        self._leaves_images_out = False
        self._workflows: dict[Path, Prompt] = {}
        self._remote_names: dict[Path, str] = {}

    def build(self, row: int, values: Mapping[str, str]) -> Job | None:
        """The row's job; None, with the problems said, where it cannot be made."""
        before = len(self.problems)
        try:
            file = self._choice.file(values)
            if file not in self._workflows:
                self._workflows[file] = read_workflow(file)
        except (WorkflowError, OSError) as error:
            self._report(row, "task", error)
            return None
        draft = _Draft(row, deepcopy(self._workflows[file]))
        for column in [*SLOTS, *(name for name in self._header if name not in SLOTS)]:
            try:
                self._set(draft, column, values.get(column, ""))
            except WorkflowError as error:
                self._report(row, column, error)
        if len(self.problems) > before:
            return None
        key = sha256(json.dumps(draft.prompt, sort_keys=True).encode()).hexdigest()
        return Job(key, row, values[NAME], file.stem, draft.prompt, draft.files)

    def _report(self, row: int, column: str, error: Exception) -> None:
        self.problems.append(f"row {row}, column {column}: {error}.")

    def _set(self, draft: _Draft, column: str, text: str) -> None:
        slot = SLOTS.get(column)
        if slot and not text:
            self._leave_empty(draft, column, slot)
        elif slot and column in FILES:
            self._set_file(draft, column, slot, text)
        elif slot:
            fill(draft.prompt, slot, self._value(column, text))
        elif "." in column and text:
            kind, _, name = column.partition(".")
            set_input(draft.prompt, kind, name, text)
        elif column == "seconds" and text:
            set_seconds(draft.prompt, _seconds(text))

    def _leave_empty(self, draft: _Draft, column: str, slot: Slot) -> None:
        if column == SPEECH and holders(draft.prompt, slot) and holders(draft.prompt, SLOTS[AUDIO]):
            # Nobody has to know what a given sound says.
            fill(draft.prompt, slot, "")
        elif column in self._header and column in (SPEECH, HEARD) and holders(draft.prompt, SLOTS[HEARD]):
            # Nobody has to speak where other sounds can be told, nor has there to be another sound.
            fill(draft.prompt, slot, "")
        elif column in self._header and _is_needed(draft.prompt, column, slot):
            raise WorkflowError(f"is empty, but this workflow wants a {slot.noun}")
        elif _is_needed(draft.prompt, column, slot):
            self.problems.append(f"column {column} is missing, but the workflow wants a {slot.noun}.")

    def _set_file(self, draft: _Draft, column: str, slot: Slot, text: str) -> None:
        if column == IMAGE and not holders(draft.prompt, slot) and holders(draft.prompt, SLOTS[VIDEO]):
            self._leave_image_out(draft.row)
            return
        local = self._find(text)
        if local not in self._remote_names:
            self._remote_names[local] = remote_name(read_chunks(local), local.suffix)
        name = self._remote_names[local]
        fill(draft.prompt, slot, f"{UPLOADS}/{name}")
        draft.files[name] = local

    def _leave_image_out(self, row: int) -> None:
        if not self._leaves_images_out:
            self._note(f"Column {IMAGE} is not used where a video's own picture says who speaks, as in row {row}.")
        self._leaves_images_out = True

    def _find(self, text: str) -> Path:
        """A media file beside the CSV file, or else in the working folder, where the release looks for it."""
        found = next((path for path in (self._folder / text, Path(text)) if path.is_file()), None)
        if found is None:
            raise WorkflowError(f"there is no file {text}, neither beside the CSV file nor in the working folder")
        if found.suffix.lower() not in MEDIA:
            raise WorkflowError(f"{text} is no picture, sound or video by its name")
        # A link counts as what it leads to.
        if not self._choice.allow_outside and self._folder.resolve() not in found.resolve().parents:
            raise WorkflowError(f"{text} lies outside the CSV file's folder: move it there, or give --allow-outside")
        return found

    def _value(self, column: str, text: str) -> str | int:
        if column == NAME:
            return f"{self._prefix}/{_checked_name(text)}"
        if column == "lang":
            if text.lower() not in LANGUAGES:
                raise WorkflowError(f"“{text}” is not a language, only {', '.join(LANGUAGES)}")
            return LANGUAGES[text.lower()]
        if column == "seed":
            if not re.fullmatch(r"\d+", text):
                raise WorkflowError(f"“{text}” is not a whole number from 0 on")
            return int(text)
        return text


def _is_needed(prompt: Prompt, column: str, slot: Slot) -> bool:
    """Whether a row has to fill a column for this workflow."""
    if column in (CAPTION, SPEECH) and holders(prompt, SLOTS[SCRIPT]):
        return False
    return column == NAME or column in (*FILES, *TEXTS) and bool(holders(prompt, slot))


def read_chunks(file: Path) -> Iterator[bytes]:
    """A file's content."""
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def remote_name(chunks: Iterable[bytes], suffix: str) -> str:
    """The name under which a server gets a file: the same for the same content, so that it is there once only."""
    digest = sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()[:32] + suffix.lower()


def with_names(prompt: Prompt, names: Mapping[str, str]) -> Prompt:
    """A copy of a prompt that reads files under other names, {name in the prompt: the server's}."""

    def named(value: Any) -> Any:
        return names.get(value, value) if isinstance(value, str) else value

    return {
        number: {**node, "inputs": {name: named(value) for name, value in node["inputs"].items()}}
        for number, node in prompt.items()
    }


def _checked_name(text: str) -> str:
    if not re.fullmatch(r"\w[\w .-]*", text) or text.endswith((" ", ".")):
        raise WorkflowError(f"“{text}” cannot be a file's name: use letters, digits, spaces and . _ - only")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise WorkflowError(f"“{text}” is not a number of seconds above 0")
    return seconds
