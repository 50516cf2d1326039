"""Fixtures: real media, reference numbers, and a real ComfyUI with the pack in it."""

from __future__ import annotations

import os
import random
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy
import pytest
import torch
from comfy.browser import Frontend, find_chromium, launch_chromium, open_frontend
from comfy.files import write_video_vae
from comfy.install import HOW_TO_SET, ComfyInstall, find_install
from comfy.server import ComfyServer
from playwright.sync_api import Browser

# What is set here holds for the processes that tests start, too.
# The tests' tensors are small: a second thread costs more than it gives, most of all on a busy machine.
torch.set_num_threads(1)
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# A GPU would be taken where there is one, and rounds otherwise.
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
# The tests' servers are on this machine: no proxy leads there.
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]

collect_ignore = ["comfy/seam"]
"""Tests for ComfyUI's own Python: test_seam.py runs them."""
PACK = Path(__file__).absolute().parent.parent
SHARED_DATA = PACK.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs something that is not here, in one line a file; mark what needs ComfyUI as `comfy`."""
    try:
        install = find_install(os.environ, PACK)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    skips = {
        "comfy_install": None if install else HOW_TO_SET,
        "shared_data": None if SHARED_DATA.is_dir() else f"no real media in {SHARED_DATA}",
    }
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "comfy_install" in fixtures:
            item.add_marker(pytest.mark.comfy)
        for reason in (skips[name] for name in skips if name in fixtures):
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let what a test draws at random not depend on the tests before it."""
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name what is skipped in a file without lines' numbers, so that the summary has one line of each reason."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        file, _, reason = report.longrepr
        report.longrepr = (file, None, reason)  # type: ignore[assignment]
    return report


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real portraits, speech and clips; a test that asks for it is skipped where it is not there."""
    return SHARED_DATA


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of reference numbers."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def comfy_install() -> ComfyInstall:
    """The ComfyUI to test with; a test that asks for it is skipped where none was named or found."""
    install = find_install(os.environ, PACK)
    assert install is not None
    return install


@pytest.fixture(scope="session")
def comfy_server(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A running ComfyUI with the pack linked in, one for the whole test run."""
    with ComfyServer(comfy_install, tmp_path_factory.mktemp("comfy"), packs=[PACK]) as server:
        yield server


@pytest.fixture(scope="session")
def video_vae(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random video VAE in the form of Wan 2.2's (a small one, TAEHV), for `VAELoader`."""
    return write_video_vae(comfy_install, tmp_path_factory.mktemp("vae") / "video_vae.safetensors")


# Not for the whole run: while Playwright is up, no other test can run an event loop of its own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    executable = find_chromium(os.environ)
    if executable is None:
        pytest.skip("no chromium on the path: install it or set CHROMIUM_PATH")
    with launch_chromium(executable) as browser:
        yield browser


@pytest.fixture
def frontend(comfy_server: ComfyServer, chromium: Browser) -> Iterator[Frontend]:
    """ComfyUI's frontend with an empty graph, the pack's nodes in it."""
    with open_frontend(chromium, comfy_server) as page:
        yield page
