"""Fuzz: the inputs of every fault that was found, and mutations of them, against the whole stack.

`make fuzz MINUTES=2`, or `python -m tests.fuzz --minutes 2`. It prints what broke a promise, with what was sent.
"""
