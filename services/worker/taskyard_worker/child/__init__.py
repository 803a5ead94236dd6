"""A worker's child process: one Dramatiq worker with one consumer and M threads, one writer, one dispatcher.

A task's way through it, module by module:

1. `fetcher.py` takes messages from Redis, `consumer.py` claims their tasks in the ledger (`claims.py`) and enters them
   in the claim table (`claim_table.py`).
2. A thread runs the claim (`runner.py`; coroutines on `event_loop.py`) within its `limits.py`; `capture.py` keeps what
   it prints, `submitter.py` commits what it submits.
3. `writer.py` records the outcome.

The main thread keeps the process (`process.py`, `child.py`): it reports to the supervisor, gives back claims that have
not begun, and interrupts tasks (`interrupts.py`). `composition.py` puts the parts together.
"""
