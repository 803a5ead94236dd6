"""Which errors of geo.* are tried again, by kind. What is in none, as `no_room_for_raster`, is tried again by the
type's own delays."""

from __future__ import annotations

from taskyard_kits.stored_files import FINAL as STORED_FILE_RULE

RASTER_RULE = STORED_FILE_RULE.of(
    "image_unsupported",
    "image_damaged",
    "image_too_large",
    "image_needs_memory",
    "raster_too_large",
    "raster_takes_too_long",
    "colours_unsupported",
    "values_unsupported",
    "not_placed",
    "crs_unknown",
    "crs_unusable",
    "crs_westing",
    "bounds_invalid",
    "place_outside",
    "place_mirrored",
    "control_point_outside",
    "control_points_too_close",
    "control_points_collinear",
    "control_points_disagree",
    "control_points_at_pole",
    "already_converted",
)
