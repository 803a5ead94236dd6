"""Which errors of files.* are tried again, by kind. What is in none, as `storage_unavailable`, is tried again by the
type's own delays."""

from __future__ import annotations

from taskyard.domain.retry import VALIDATION
from taskyard_kits.stored_files import FINAL as STORED_FILE_RULE

__all__ = ["AGE_RULE", "IMAGE_RULE", "STORED_FILE_RULE"]

IMAGE_RULE = STORED_FILE_RULE.of("image_unsupported", "image_too_large", "image_needs_memory", "image_damaged")
AGE_RULE = VALIDATION.of("age_too_short")
