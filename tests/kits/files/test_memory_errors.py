"""A parser that gets no memory is not taken for a damaged file."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The value is longer than the memory that is left: the buffer that expat asks for itself is what does not fit.
PARSE = """
import resource, sys
from taskyard_kits.files.memory_errors import is_used_up
from xml.dom import minidom
from xml.etree import ElementTree
parse = {"etree": ElementTree.fromstring, "minidom": minidom.parseString}[sys.argv[1]]
text = b"<a b='" + b"x" * (16 << 20) + b"'/>"
now = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (now + (8 << 20), resource.RLIM_INFINITY))
try:
    parse(text)
except Exception as e:
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(type(e).__name__, is_used_up(e))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
@pytest.mark.parametrize("parser", ["etree", "minidom"])
def test_expats_lack_of_memory_is_one(parser: str) -> None:
    command = [sys.executable, "-c", PARSE, parser]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said in ("ParseError True\n", "ExpatError True\n"), "and no MemoryError"
