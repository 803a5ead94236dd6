"""Kills an application at random points around COMMIT, and looks for tasks that were lost or that nobody wanted.

python -m tests.kills --kills 1000 [--seed 7]
"""
