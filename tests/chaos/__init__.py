"""Chaos: real services under load while things are killed, stopped, cut, filled and forgotten at random.

`make chaos MINUTES=30`, or `python -m tests.chaos --minutes 2 --seed 7`. What it prints at the end has to say that
nothing was lost.
"""
