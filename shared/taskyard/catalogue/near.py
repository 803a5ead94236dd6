"""Names that are most like a wrong one, for people who mistyped it."""

from __future__ import annotations

from collections.abc import Sequence

# Comparing two names takes at worst the product of their lengths, some 80 ns for each pair of characters; this many
# pairs are 300 names of usual length.
_MAX_PAIRS = 100_000
_MAX_LENGTH = 128


def near_names(name: str, names: Sequence[str]) -> list[str]:
    """The names that are most like `name`, which none of them is; at most three. Looks at the first names only where
    there are many or long ones."""
    import difflib

    name, left, compared = name[:_MAX_LENGTH], _MAX_PAIRS, []
    for other in names:
        left -= len(name) * len(other)
        if left < 0:
            break
        compared.append(other)
    return difflib.get_close_matches(name, compared, n=3)
