"""Which errors of selection.* are tried again, by kind. What is in none, as `draw_died`, is tried again by the type's
own delays."""

from __future__ import annotations

from taskyard_kits.stored_files import FINAL as STORED_FILE_RULE

from .google.rules import READ_RULES
from .library_words import LIBRARY_ERRORS
from .table_words import TABLE_ERRORS

# The library computes: what it refuses once it refuses again. `selection_failed` depends on the seed, and says itself
# whether it is final.
_OF_SHEETS = {code for rule in READ_RULES for code in rule.codes}
DRAW_RULE = STORED_FILE_RULE.of(
    *TABLE_ERRORS,
    *(code for code in LIBRARY_ERRORS if code not in _OF_SHEETS),
    "infeasible_quotas_cant_relax",
    "infeasible_addresses",
    "legacy_without_spare_people",
    "solver_failed",
    "draw_needs_memory",
    "draw_failed",
)
