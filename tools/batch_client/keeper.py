"""Runs a ComfyUI for as long as the actor that wants it lives: `keeper.py BASE COMFYUI COMMAND…`, a pipe as its input.

Where ComfyUI ends by itself, it is started again. When the pipe closes, because the actor or the whole client has
ended in whatever way, ComfyUI is ended and its base folder removed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

LOG, ENDED = "comfyui.log", "ended"
"""Files in the base folder: what ComfyUI writes, and the mark that it has ended by itself."""
END_SECONDS = 20


def keep(base: Path, comfyui: str, command: list[str]) -> None:
    """Run the command in ComfyUI's folder, again and again until the standard input ends; then remove the base."""
    gone = threading.Event()

    def wait_for_the_actor() -> None:
        sys.stdin.read()
        gone.set()

    threading.Thread(target=wait_for_the_actor, daemon=True).start()
    with (base / LOG).open("ab", buffering=0) as log:
        while not gone.is_set():
            try:
                process = subprocess.Popen(command, cwd=comfyui, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                while process.poll() is None and not gone.wait(0.1):
                    pass
                process.terminate()
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            except OSError as error:
                log.write(f"{error}\n".encode())
            (base / ENDED).touch()
            gone.wait(1)
    shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    # Ray kills the children of an actor with it: this process must be nobody's child.
    if hasattr(os, "fork") and os.fork():
        os._exit(0)
    keep(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
