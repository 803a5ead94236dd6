"""Which errors of files.* are tried again, by kind. What is in none, as `storage_unavailable`, is tried again by the
type's own delays."""

from __future__ import annotations

from taskyard.domain.retry import VALIDATION

STORED_FILE_RULE = VALIDATION.of("item_not_found", "file_missing", "file_damaged")
IMAGE_RULE = STORED_FILE_RULE.of("image_unsupported", "image_too_large", "image_needs_memory", "image_damaged")
