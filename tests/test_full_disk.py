"""Folders that take no file: the message names them and what to do, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
from counting_host import CountingHost
from odd_files import write_pictures
from test_long_form import long_clip

from uniavgen_core import files
from uniavgen_core.files import NotWrittenError, check_free_space, whole_file
from uniavgen_core.media.container import opened

SMALL_FILES = """
import resource, sys
from pathlib import Path
import torch
from uniavgen_core.files import NotWrittenError
from uniavgen_core.long_form.store import SegmentStore, StoredSegment
from uniavgen_core.media.muxing import replace_audio, write_video

folder = Path(sys.argv[1])
noise = torch.rand(20, 64, 64, 3)
write_video(folder / "given.mp4", noise, 16)
segment = StoredSegment(torch.zeros(20_000, 80))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
for write in (
    lambda: write_video(folder / "made" / "new.mp4", noise, 16),
    lambda: replace_audio(folder / "given.mp4", folder / "made" / "new.mp4", torch.rand(1, 24_000), 24_000),
    lambda: SegmentStore(folder / "made").write("a" * 64, segment, torch.zeros(0)),
):
    try:
        write()
    except NotWrittenError as error:
        print(error)
"""


def test_a_disk_that_gets_full_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SMALL_FILES, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)
    lines = result.stdout.splitlines()
    assert len(lines) == 3 and all(f"The disk of {tmp_path / 'made'} is full" in line for line in lines), result.stderr
    assert [*(tmp_path / "made").iterdir()] == []


def test_room_is_asked_for_before_anything_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    host = CountingHost()
    with pytest.raises(NotWrittenError, match=str(tmp_path)):
        long_clip(host, tmp_path / "segments").make()
    assert host.orders == []
    check_free_space(tmp_path / "not" / "there", 1000)


def test_a_folder_that_is_emptied_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(NotWrittenError, match="temp was emptied"),
        whole_file(tmp_path / "temp" / "a.txt") as unfinished,
    ):
        unfinished.write_text("soon gone")
        unfinished.unlink()
        (tmp_path / "temp").rmdir()


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a.txt"):
        raise ZeroDivisionError
    with pytest.raises(FileNotFoundError) as caught, whole_file(tmp_path / "a.txt"):
        (tmp_path / "elsewhere" / "b.txt").read_text()
    assert not isinstance(caught.value, NotWrittenError)


def test_what_libav_gives_up_within_a_file_names_it(tmp_path: Path) -> None:
    path = write_pictures(tmp_path / "given.mp4", range(5))
    with pytest.raises(ValueError, match=r"given\.mp4 cannot be read to its end"), opened(path):
        raise av.FFmpegError(1_094_995_529, "as of a filter")
