"""Starve: hostile callers and tasks, one kind after the other, beside a steady load of ordinary tasks.

`make starve MINUTES=2`, or `python -m tests.starve --minutes 2`. It prints how much longer the ordinary tasks waited
than without the hostile ones, and how often one of them was released by another's fault.
"""
