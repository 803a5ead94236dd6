"""The supervisor process: it starts the children, watches them, enforces limits, and speaks to the ledger for them.

Two threads matter. The main thread (`supervisor.py`) starts and reaps children and never waits for a server. The
recorder's thread (`recorder.py`) sends heartbeats and records what the main thread hands to it. They meet in two
objects: `children.py` (the living children, which the recorder reads) and `requests.py` (what signals and other threads
ask of the main thread).
"""
