"""Subtitles as a track of a VIDEO, and as a file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import folder_paths
import pytest
import torch
from clips import refused
from comfy_api.latest import InputImpl, Types
from pack.nodes.comfy_saving import SaveSubtitled
from pack.nodes.media import AVMux

SRT = "1\n00:00:00,250 --> 00:00:00,750\nHello.\n\n2\n00:00:00,750 --> 00:00:01,500\n你好。\n\n"
SHOWN = [(0.25, 0.5, "Hello."), (0.75, 0.75, "你好。")]


def muxed(video: Any, subtitles: str = SRT) -> Any:
    audio = {"waveform": torch.rand(1, 1, 48_000) / 2, "sample_rate": 24_000}
    settings = {"frame_rate": 16.0, "fade": 0.0, "loudness": {"loudness": "as it is"}, "length": "video"}
    return AVMux.execute(video=video, audio=audio, subtitles=subtitles, **settings).result[0]


def shown(path: Any) -> list[tuple[float, float, str]]:
    """Second, seconds and text of what the track of a file shows."""
    with av.open(str(path)) as container:
        if not container.streams.subtitles:
            return []
        (track,) = container.streams.subtitles
        packets = [(packet, bytes(packet)[2:].decode()) for packet in container.demux(track) if packet.pts is not None]
        return [
            (float(packet.pts * packet.time_base), float(packet.duration * packet.time_base), text)
            for packet, text in packets
            if text
        ]


def test_frames_and_files_get_a_track_that_save_video_keeps(tmp_path: Path) -> None:
    video = muxed(torch.rand(32, 64, 64, 3))
    assert shown(video.get_stream_source()) == SHOWN
    copied = muxed(InputImpl.VideoFromFile(video.get_stream_source()))
    for format in ("auto", "mp4"):
        path = tmp_path / f"{format}.mp4"
        copied.save_to(str(path), format=Types.VideoContainer(format), metadata={"prompt": {"1": {}}})
        assert shown(path) == SHOWN
        with av.open(str(path)) as container:
            assert len(container.streams) == 3
            assert sum(1 for _ in container.decode(video=0)) == 32
    assert shown(muxed(InputImpl.VideoFromFile(video.get_stream_source()), "").get_stream_source()) == []


@pytest.mark.parametrize("from_file", [False, True])
def test_a_track_is_no_longer_than_the_picture(from_file: bool) -> None:
    frames = torch.rand(32, 64, 64, 3)
    text = "1 --> 90\nHello.\nYou.\n\n01:00:00,000 --> 01:00:01,000\nNever."
    made = muxed(muxed(frames) if from_file else frames, text)
    assert shown(made.get_stream_source()) == [(1.0, 1.0, "Hello.\nYou.")]
    with av.open(made.get_stream_source()) as container:
        assert container.duration / av.time_base == pytest.approx(2, abs=0.1)


def test_what_are_no_subtitles_is_refused() -> None:
    with refused("subtitles", "no times", "SRT"):
        muxed(torch.rand(4, 64, 64, 3), "Hello.")


def test_a_video_and_its_subtitles_have_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    vtt = "WEBVTT\n\n00:00.250 --> 00:00.750\n<b>Hello.</b>\n\n00:00.750 --> 00:01.500\n你好。\n"
    video = muxed(torch.rand(32, 64, 64, 3), "")
    hidden = type("Hidden", (), {"prompt": {"1": {}}, "extra_pnginfo": {"workflow": {"nodes": []}}})
    monkeypatch.setattr(SaveSubtitled, "hidden", hidden, raising=False)
    for number in (1, 2):
        made = SaveSubtitled.execute(video, vtt, "talk/clip")
        assert made.result[1] == SRT
        path = tmp_path / "talk" / f"clip_{number:05}_.mp4"
        assert path.with_suffix(".srt").read_text(encoding="utf-8") == SRT
        with av.open(str(path)) as container:
            assert container.metadata["workflow"] == '{"nodes": []}'
    assert len([*path.parent.iterdir()]) == 4
