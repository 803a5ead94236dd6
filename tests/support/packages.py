"""Packages with kits, as `pip install` leaves them: modules, and entry points in the metadata beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install(place: Path, name: str, modules: Mapping[str, str], *, kits: Mapping[str, str], extras: str = "") -> None:
    """Writes the distribution `name` into a directory of sys.path. `modules`: text by dotted name; `kits`: an object's
    place by the name of its entry point."""
    for module, text in modules.items():
        path = place / f"{module.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.parent != place:
            (path.parent / "__init__.py").touch()
    info = place / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    provides = "".join(f"Provides-Extra: {extra}\n" for extra in extras.split())
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{provides}")
    points = "".join(f"{kit} = {value}\n" for kit, value in kits.items())
    (info / "entry_points.txt").write_text(f"[taskyard.kits]\n{points}")
