"""The names of a raster: while it is made, and as that of its item, which it has from its image."""

from __future__ import annotations

import re

RASTER = "raster.tif"

# Only what is known as an image's: in `v1.2 map` there is none.
_SUFFIX = re.compile(r"\.(png|jpe?g|jpe|jfif|tiff?|geotiff|gtiff|cog)$", re.IGNORECASE)
_MAX_BYTES = 255  # as for uploads


def raster_name(name: str) -> str:
    """`photo.JPG` becomes `photo.tif`, `v1.2 map` becomes `v1.2 map.tif`."""
    stem = _SUFFIX.sub("", name).encode()[: _MAX_BYTES - len(".tif")].decode(errors="ignore")
    return f"{stem or 'raster'}.tif"
