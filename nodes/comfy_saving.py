"""A video beside its subtitles in the output folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import Input, Types, io, ui

from ..uniavgen_core.files import whole_file
from ..uniavgen_core.media.cues import parse_subtitles, subtitles


class SaveSubtitled(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSaveSubtitled",
            display_name="UniAVGen Save with Subtitles",
            category="video",
            description="Saves a video as MP4 and its subtitles beside it under the same name, as players look for "
            "them: clip_00001_.mp4 and clip_00001_.srt.",
            search_aliases=["save srt", "export subtitles", "save captions", "subtitle file"],
            inputs=[
                io.Video.Input("video", tooltip="The clip, saved as Save Video does it, with the workflow in it."),
                io.String.Input(
                    "subtitles",
                    force_input=True,
                    tooltip="SubRip (SRT) or WebVTT, such as UniAVGen Long Form gives. Saved as SubRip.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="video/UniAVGen",
                    tooltip="Beginning of both names in the output folder, as in Save Video.",
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            outputs=[io.Video.Output(display_name="video"), io.String.Output(display_name="subtitles")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, video: Input.Video, subtitles: str, filename_prefix: str) -> io.NodeOutput:
        text = _as_subrip(subtitles or "")
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), *video.get_dimensions()
        )
        path = Path(folder) / f"{name}_{counter:05}_.mp4"
        with whole_file(path) as unfinished, whole_file(path.with_suffix(".srt")) as beside:
            video.save_to(os.fspath(unfinished), format=Types.VideoContainer.MP4, metadata=_metadata(cls.hidden))
            beside.write_text(text, encoding="utf-8")
        shown = ui.PreviewVideo([ui.SavedResult(path.name, subfolder, io.FolderType.output)])
        return io.NodeOutput(video, text, ui=shown)


def _as_subrip(text: str) -> str:
    """Subtitles in one form; none stay none.

    Raises:
        ValueError: they hold no times.
    """
    return subtitles(parse_subtitles(text))


def _metadata(hidden: Any) -> dict[str, Any] | None:
    """What Save Video writes into a file, so that it can be dropped on the canvas."""
    if args.disable_metadata:
        return None
    found = dict(hidden.extra_pnginfo or {})
    if hidden.prompt is not None:
        found["prompt"] = hidden.prompt
    return found or None
