"""Quarantine: how a task that ends its process is found and stopped, and how the tasks beside it come to their end.

The story, from the end of a child to the verdict:

1. **A child ends.** It dies, and its supervisor sees the exit (`Supervisor._reap`); or the supervisor kills it, because
   a task in it ran past its hard limit or did not stop (`supervisor/enforcer.py`). The shared slot table tells which
   claims it held and which of them had begun (`slots.py`).
2. **Judgement.** `judge` decides for each claim. In a child that died: if one task had begun, it is guilty; if several
   had begun, each is a suspect, because it cannot be told which of them it was; what had not begun is displaced. In a
   child that was killed for a task's sake all others are displaced. Where no task is at fault (the worker stops, an
   idle child dies), all are innocent. (A host that dies leaves no slot table: the scheduler judges by its last
   heartbeat, `lifecycle/rescue.py`, `orphans`.)
3. **The record.** `lifecycle/rescue.py`, `lose`: a guilty task pays a crash, and fails with `crash_limit` once its
   crashes reach the limit. A suspect pays nothing yet; its `suspicions` grow by one. A displaced task pays nothing; its
   `displacements` grow by one, or by two where the task at fault had its type and its submitter: what is so alike may
   do the same. The innocent go back to the head of their queue.
4. **Refusal.** Ordinary children refuse tasks that crashed, are suspected or were displaced (`lifecycle/claim.py`,
   `IS_APART`). Their consumer learns the reason (`refusals`) and tells the supervisor, which looks at once; every
   heartbeat looks, too (`supervisor/claims.py`, `compare`).
5. **Children in quarantine.** While such tasks wait, the child pool starts children for them (`supervisor/pool.py`), at
   most as many as there may be ordinary children. Their `SuspectConsumer` (`quarantine.consumer`) claims from the
   ledger and not from Redis, so no task waits behind the queue. What was displaced once may run beside others of its
   kind, and of no other: a task of another kind may be about to end its process, too. All else runs alone, and so does
   what was displaced again.
6. **The verdict.** A suspect that ends in quarantine is done, like any other task; where it is retried, it runs alone
   again. A suspect whose process dies was the only task that had begun, so step 2 finds it guilty and step 3
   makes it pay. `MAX_SUSPICIONS` suspicions without a verdict count as guilt, so that nothing goes round for ever.
7. **The end.** A child in quarantine retires when nothing has waited for it for a while, and no other child replaces
   it.

The rules below are what the supervisor and its child pool have to know.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence

from taskyard.domain.failures import Cause
from taskyard.lifecycle.rescue import Guilt, Lost

from ..slots import Entry, Kind, Phase


def children_for(companies: Collection[str | None], threads: int) -> int:
    """How many children in quarantine can work: one for each task that has to run alone (None), and as many as the
    threads are that the others of one kind fill."""
    return sum(
        tasks if company is None else math.ceil(tasks / threads) for company, tasks in Counter(companies).items()
    )


def judge(
    held: Sequence[Entry],
    cause: Cause | str,
    peak_memory_bytes: int,
    *,
    was_killed_by_us: bool = False,
    ran_fenced_attempt: bool = False,
    blamed: Collection[Kind] = (),
) -> dict[Entry, Lost]:
    """Whose fault the end of a child was. `held` are its entries in the slot table, without those that were recorded as
    over before. `cause` is for people. `ran_fenced_attempt`: an attempt in it had been recorded as over, and may still
    have run. `blamed`: the kinds of the tasks for whose sake it had to end."""
    # A fenced attempt has left the slot table, and may be what killed the child.
    begun = sum(e.phase is Phase.BEGUN for e in held) + ran_fenced_attempt
    is_by_a_task = bool(blamed) if was_killed_by_us else begun > 0

    def guilt_of(entry: Entry) -> Guilt:
        if not is_by_a_task:
            return Guilt.INNOCENT
        if entry.phase is Phase.BEGUN and not was_killed_by_us:
            return Guilt.of_begun(begun)
        return Guilt.ALIKE if entry.kind in blamed else Guilt.DISPLACED

    return {e: Lost(e.task_id, e.claim, guilt_of(e), cause, peak_memory_bytes) for e in held}
