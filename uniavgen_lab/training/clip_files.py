"""A folder of real clips: which files it holds, who speaks in them, and what they say.

A clip is a video file with a text file of the same name beside it. The text's first line is what is said; the next, if
there is one, is the caption. What is said may also be several lines that begin with their time in seconds:

    [0.0-3.2] Two red birds and a cat.
    [3.4-7.9] Good morning, old friend.
    A woman in a kitchen talks to the camera.

Each sub-folder of the folder is a speaker; the clips that lie in the folder itself are of a speaker each.
"""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

TRANSCRIPT_SUFFIX = ".txt"
TIMED = re.compile(r"\[\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*\]\s*(.*)")


class UnfitClipError(ValueError):
    """A clip that is not used; the message says why."""


@dataclass(frozen=True)
class ClipFile:
    """A video file.

    Attributes:
        file: where it lies.
        name: its path in the folder of clips.
        speaker: clips of one speaker can be each other's reference voice.
    """

    file: Path
    name: str
    speaker: str

    @property
    def transcript_file(self) -> Path:
        return self.file.with_suffix(TRANSCRIPT_SUFFIX)


@dataclass(frozen=True)
class Sentence:
    """What is said from one second to another; an end of None is that of the clip."""

    speech: str
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True)
class Transcript:
    """What is said in a clip, and its caption ("" where there is none)."""

    sentences: tuple[Sentence, ...]
    caption: str


def find_clip_files(folder: Path) -> list[ClipFile]:
    """Files with a transcript beside them, and videos without one, in the order of speaker and name.

    Raises:
        FileNotFoundError: there is no such folder, or no clip in it.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    clips = [_clip_file(folder, path) for path in files if _may_be_clip(path)]
    if not clips:
        raise FileNotFoundError(
            f"There are no clips in {folder}: put video files there, each with a text file of the same name that says "
            "what is said."
        )
    return sorted(clips, key=lambda clip: (clip.speaker, clip.name))


def _may_be_clip(path: Path) -> bool:
    if path.suffix == TRANSCRIPT_SUFFIX:
        return False
    kind, _ = mimetypes.guess_type(path.name)
    return path.with_suffix(TRANSCRIPT_SUFFIX).is_file() or (kind or "").startswith("video/")


def _clip_file(folder: Path, path: Path) -> ClipFile:
    inside = path.relative_to(folder)
    return ClipFile(path, inside.as_posix(), inside.parts[0])


def read_transcript(path: Path) -> Transcript:
    """Read the text beside a clip.

    Raises:
        UnfitClipError: there is none, or it is not in the form that this module's description shows.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UnfitClipError(f"it has no transcript: write what is said to {path.name}") from error
    except UnicodeDecodeError as error:
        raise UnfitClipError(f"{path.name} is no UTF-8 text: save it as such") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    timed = [_timed_sentence(match, path) for line in lines if (match := TIMED.fullmatch(line))]
    others = [line for line in lines if not TIMED.fullmatch(line)]
    sentences = timed or [Sentence(line) for line in others[:1]]
    captions = others if timed else others[1:]
    if not sentences:
        raise UnfitClipError(f"{path.name} is empty: write what is said")
    if len(captions) > 1:
        raise UnfitClipError(
            f"{path.name} has too many lines: one of what is said, or several that begin with their times such as "
            "[0.0-3.2], and at most one more, the caption"
        )
    return Transcript(tuple(sentences), captions[0] if captions else "")


def _timed_sentence(match: re.Match[str], path: Path) -> Sentence:
    start, end, speech = match.groups()
    if float(start) >= float(end):
        raise UnfitClipError(f"{path.name}: [{start}-{end}] must end after it starts")
    return Sentence(speech, float(start), float(end))
