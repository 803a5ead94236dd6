"""The geo kit: images become rasters with a place on earth."""

from taskyard import Kit

KIT = Kit("geo", modules=("taskyard_kits.geo.tasks",), queues=("geo_processing",), forks=False)
