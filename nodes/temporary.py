"""Videos in ComfyUI's temp folder, whose files go as soon as nobody has the VIDEO any more."""

from __future__ import annotations

import uuid
import weakref
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import Input, InputImpl

from .comfy_progress import show_video


class TemporaryFile:
    """A file that is deleted when this is gone, or when ComfyUI ends."""

    def __init__(self, path: Path):
        self.path = path
        weakref.finalize(self, _delete, path)


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)


class TemporaryVideo(InputImpl.VideoFromFile):
    """A VIDEO that has a file in temp for itself. What is trimmed of it has it, too."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self.file = TemporaryFile(path)

    def as_trimmed(self, *span: Any, **named_span: Any) -> Input.Video | None:
        """As of every VIDEO."""
        trimmed = super().as_trimmed(*span, **named_span)
        if trimmed is not None:
            trimmed.file = self.file
        return trimmed


def temporary_path(suffix: str) -> Path:
    """A new name in ComfyUI's temp folder."""
    return Path(folder_paths.get_temp_directory()) / f"uniavgen_{uuid.uuid4().hex}{suffix}"


def show_temporary(video: Input.Video) -> None:
    """Show a VIDEO that has a file in temp on the node that runs, with its sound."""
    if isinstance(video, TemporaryVideo):
        show_video(video.file.path)
