"""Quarantine: how a task that kills its process is found and stopped, without failing the tasks beside it.

The story of suspicion, from the crash to the verdict:

1. **A child dies.** Its supervisor sees the exit (`Supervisor._reap`) and reads from the shared slot table which claims
   it held and which of them had begun (`slots.py`).
2. **Judgement.** `judge` decides for each claim. If one task had begun, it is guilty. If several had begun, each is a
   suspect: which of them it was cannot be told. Whatever had not begun is innocent, and so is everything in a child
   that the supervisor killed itself. (A host that dies leaves no slot table: the scheduler judges by its last
   heartbeat, `lifecycle/rescue.py`, `orphans`.)
3. **The record.** `lifecycle/rescue.py`, `lose`: a guilty task pays a crash, and fails with `crash_limit` once its
   crashes reach the limit. A suspect pays nothing yet; its `suspicions` grow by one. All others are queued again.
4. **Refusal.** Ordinary children refuse a task with suspicions (`lifecycle/claim.py`, `claim` without `alone`). Their
   consumer learns the reason (`refusals`) and tells the supervisor, which looks at once; every heartbeat looks, too
   (`supervisor/claims.py`, `compare`).
5. **Children in quarantine.** While suspects wait, the child pool starts children with one thread
   (`supervisor/pool.py`): one a suspect, and at most as many as there may be ordinary children. Their `SuspectConsumer`
   (`quarantine.consumer`) claims one suspect at a time, from the ledger and not from Redis, and runs it alone.
6. **The verdict.** A suspect that ends in quarantine is done, like any other task; where it is retried, it runs alone
   again. A suspect whose process dies was the only task that had begun, so step 2 finds it guilty and step 3
   makes it pay. `MAX_SUSPICIONS` suspicions without a verdict count as guilt, so that nothing goes round for ever.
7. **The end.** A child in quarantine retires when no suspect has waited for a while, and no other child replaces it.

The rules below are what the supervisor and its child pool have to know.
"""

from __future__ import annotations

from collections.abc import Sequence

from taskyard.domain.failures import Cause
from taskyard.lifecycle.rescue import Guilt, Lost

from ..slots import Entry, Phase

# A suspect runs alone.
THREADS = 1


def is_expected_death(*, in_quarantine: bool, had_begun: bool) -> bool:
    """Whether a suspect ended its child. That is what quarantine is for, and the crash limit of each task bounds it:
    the next child in quarantine need not wait."""
    return in_quarantine and had_begun


def judge(
    held: Sequence[Entry],
    cause: Cause | str,
    peak_memory_bytes: int,
    *,
    was_killed_by_us: bool = False,
    ran_fenced_attempt: bool = False,
) -> list[Lost]:
    """Which of the tasks in a dead child may have killed it. `held` are its entries in the slot table, without those
    that were recorded as over before. `cause` is for people. `ran_fenced_attempt`: an attempt in it had been recorded
    as over, and may still have run."""
    guilt = Guilt.INNOCENT
    if not was_killed_by_us:
        # A fenced attempt has left the slot table, and may be what killed the child.
        guilt = Guilt.of_begun(sum(e.phase is Phase.BEGUN for e in held) + ran_fenced_attempt)
    return [
        Lost(e.task_id, e.claim, guilt if e.phase is Phase.BEGUN else Guilt.INNOCENT, cause, peak_memory_bytes)
        for e in held
    ]
