"""How many control points there may be: known to the task's parameters, which need no library of geography, and to the
converter, which needs no library of models. The API's body of a conversion has the same numbers, and a test that they
are the same."""

# The least that make a transform; and what the distances of all from all are looked at.
MIN_POINTS, MAX_POINTS = 3, 1000
