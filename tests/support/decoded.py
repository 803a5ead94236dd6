"""What the process that decodes an image says and takes, where it is granted what it asks for."""

import json
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

# The kernel counts the memory of a new process from that of its parent on: a small one is between.
_PARENT = """
import json, resource, subprocess, sys
with open(sys.argv[1], "rb") as image:
    command = [sys.executable, "-I", "-m", "taskyard_kits.files.decoder", str(image.fileno()), *sys.argv[2:]]
    out = subprocess.run(command, input=b"\\n", stdout=subprocess.PIPE, pass_fds=[image.fileno()], env={}).stdout
said = []
while out and (not said or "kind" not in said[-1]):
    line, _, out = out.partition(b"\\n")
    said.append(json.loads(line))
print(json.dumps([said, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024]))
"""


def decoded(content: bytes, directory: Path, width: int = 256, height: int = 256) -> tuple[list[dict[str, Any]], int]:
    """The objects that it wrote, and the most resident memory that it had, in bytes."""
    file = directory / "image"
    file.write_bytes(content)
    command = [sys.executable, "-I", "-c", _PARENT, str(file), str(width), str(height)]
    said, peak = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return said, peak


def resident_decoders() -> int:
    """The resident memory of all decoders that threads of this process have started, in bytes."""
    found = 0
    for thread in Path("/proc/self/task").iterdir():
        # Any of them may end meanwhile.
        with suppress(OSError):
            for pid in (thread / "children").read_text().split():
                with suppress(OSError):
                    if b"taskyard_kits.files.decoder" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return found * resource.getpagesize()
