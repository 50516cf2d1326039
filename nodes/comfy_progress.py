"""What a node tells its user before and while it runs: what will not fit, how far it is, warnings, and its text."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import comfy.model_management
import comfy.utils
import torch
from comfy_execution.progress import get_progress_state
from comfy_execution.utils import get_executing_context

GIGABYTE = 1e9
FLOAT_BYTES = 4


def check_interrupt() -> None:
    """Raise ComfyUI's interrupt where the user has cancelled."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def check_memory(name: str, needed_bytes: float, content: str) -> None:
    """Refuse what main memory cannot hold, before it is made.

    Args:
        name: the input at fault.
        content: what takes the memory.

    Raises:
        ValueError: there is less memory; it names the input and the sizes.
    """
    free = comfy.model_management.get_free_memory(torch.device("cpu"))
    if needed_bytes > free:
        raise ValueError(
            f"{name} is too long: {content} take {needed_bytes / GIGABYTE:,.1f} GB of memory, and "
            f"{free / GIGABYTE:,.1f} GB are free. Give a shorter one; UniAVGen Long Form holds no long clip."
        )


def check_frames_fit(name: str, shape: Sequence[int]) -> None:
    """Refuse float frames (F, height, width, channels) that main memory cannot hold; errors as in `check_memory`."""
    frames, height, width, _ = shape
    check_memory(name, math.prod(shape) * FLOAT_BYTES, f"{frames} frames of {width} × {height} pixels")


def progress_bar(total: int) -> Callable[[int], None]:
    """A function that is told how much is done; it raises ComfyUI's interrupt where the user has cancelled."""
    bar = comfy.utils.ProgressBar(total)

    def show(done: int) -> None:
        check_interrupt()
        bar.update_absolute(done)

    return show


def warn(source: str, notes: Sequence[str], heading: str = "") -> None:
    """Show notes on the node that runs, below a heading, and in the console, where each says its source."""
    for note in notes:
        logging.warning("%s: %s", source, note)
    lines = [heading, *notes] if heading else notes
    if lines:
        show_text("\n".join(lines))


def show_text(text: str) -> None:
    """Show text on the node that runs; where nodes run without ComfyUI's server, nothing is shown."""
    context = get_executing_context()
    if context is None:
        return
    # Not at the top: without the server, it cannot be imported.
    from server import PromptServer

    PromptServer.instance.send_progress_text(text, context.node_id)


def is_watched() -> bool:
    """Whether somebody looks at the node that runs; nobody does where a program sent the prompt."""
    if get_executing_context() is None:
        return False
    from server import PromptServer

    return PromptServer.instance.client_id is not None


def show_video(path: Path) -> None:
    """Show a video of ComfyUI's temp folder, with its sound, on the node that runs, while it goes on running.

    It is no result of the node: neither the history nor programs that read it know of it.
    """
    context = get_executing_context()
    if context is None or not is_watched():
        return
    from server import PromptServer

    server, shown = PromptServer.instance, {"filename": path.name, "subfolder": "", "type": "temp"}
    event = {
        "node": context.node_id,
        "display_node": get_progress_state().dynprompt.get_display_node_id(context.node_id),
        "output": {"images": [shown], "animated": [True]},
        "prompt_id": context.prompt_id,
    }
    server.send_sync("executed", event, server.client_id)
