"""Which errors of selection.* are tried again, by kind. What is in none, as `draw_died`, is tried again by the type's
own delays."""

from __future__ import annotations

from taskyard_kits.stored_files import FINAL as STORED_FILE_RULE

from .library_words import LIBRARY_ERRORS
from .table_words import TABLE_ERRORS

# The library computes: what it refuses once it refuses again. `selection_failed` depends on the seed, and says itself
# whether it is final.
DRAW_RULE = STORED_FILE_RULE.of(
    *TABLE_ERRORS, *LIBRARY_ERRORS, "infeasible_quotas_cant_relax", "solver_failed", "draw_needs_memory", "draw_failed"
)
