"""The failures that the platform itself records: their codes, and what people are told of them in English.

A failure is stored as its code and its values, with the English sentence of that time beside them. Readers get the
words of their language, by code: those of the platform's codes stand in the API's catalogues (`locale/`), those of a
task type's own codes in the type's declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# `lifecycle/failures.py` makes the SQL of the ends of attempts from these.
SENTENCES = {
    # Ends of attempts
    "crash": "The process that ran it ended: {cause}.",
    "crash_limit": "The task ended its process {crashes} times; the last time: {cause}."
    " Look for the reason in its parameters and its log, then retry it.",
    "crash_suspect": "The process that ran it and others ended: {cause}."
    " It runs next alone, to see whether it was the cause.",
    "expired": "It was not finished by {time}. Retry it where it is still wanted.",
    "soft_time_limit": "It ran longer than its soft limit of {seconds} s. Give it a higher limit, or less to do.",
    "hard_time_limit": "It ran longer than its hard limit of {seconds} s and was ended."
    " Give it a higher limit, or less to do.",
    "retry_requested": "The task asked to be tried again.",
    "out_of_descriptors": "Its process had no file descriptors left: {reason}. A task that ran in it leaves files or"
    " connections open. Another process replaces it.",
    "out_of_threads": "Its process could start no more threads: {reason}. Look for a task that leaves threads running.",
    # Parameters and results, checked by the worker; also the parameters of a task that a task submits
    "params_invalid": "The parameters do not fit the task type: {reason}",
    "secret_unreadable": "A secret parameter of this task cannot be read here: {reason}."
    " Ask the operator to check TASKYARD_SECRET_KEYS.",
    "task_unreadable": "The stored task cannot be read: {reason}",
    "result_invalid": "What the task returned does not fit its declared result: {reason}",
    "result_too_large": "The result is larger than 256 KiB: keep it in storage and return its id.",
    "result_not_storable": "What the task returned cannot be stored: {reason}",
    # Results that a step of a workflow takes
    "results_too_large": "What {parameter} takes of earlier results makes more than 256 KiB. Keep large results in"
    " storage and hand on their ids.",
    "result_missing": "What {parameter} takes of an earlier result is not in that result. Correct the reference, and"
    " submit the workflow again.",
    "result_reserved": "What {parameter} takes of an earlier result has the name $secret, which is the platform's own."
    " Let that step return it under another name.",
    # The database of tasks
    "no_task_database": "This task needs PostgreSQL, and its worker has no address for tasks."
    " Ask the operator to set TASKYARD_TASK_DATABASE_URL.",
    "task_role_too_powerful": "Tasks may not use PostgreSQL as {role}, which could touch the platform's own tables"
    " ({right}). Ask the operator to name another role in TASKYARD_TASK_DATABASE_URL: `taskyard-api migrate` makes it.",
    # Submits by running tasks
    "unknown_task_type": "There is no task type {name}. Similar names: {near}.",
    "params_too_large": "The parameters for {name} are larger than 256 KiB. Put them into a file and submit its id.",
    "unknown_queue": "There is no queue {queue}. A queue exists once a worker serves it.",
    "queue_not_allowed": "The submitter of this task may not use the queue {queue}.",
    "too_many_steps": "Its workflow would have more than {limit} steps. Give each step more to do.",
    "too_many_needs": "The steps of its workflow would have more than {limit} needs together."
    " Add fewer steps, or let one step need them, and the others that one.",
    "queue_not_served": "No worker runs {name} on the queue {queue}. These queues serve it: {queues}.",
}

# Values that are phrases, by the name that stands in their place: {"phrase": "storage_full"}. A phrase of the platform
# may have values of its own beside its name: {"phrase": "exit_code", "code": 1}.
PHRASES = {
    "none": "none",
    "exit_code": "exit code {code}",
    "signal": "killed by signal {signal}",
    "out_of_memory": "killed by signal {signal}: out of memory",
    "thread_ended": "a task ended a thread of the worker in it ({thread})",
    "worker_lost": "its worker stopped answering",
    "secret_keys_unset": "TASKYARD_SECRET_KEYS is not set: secret parameters cannot be read",
    "secret_keys_wrong": "none of TASKYARD_SECRET_KEYS opens a secret parameter",
    "storage_full": "the storage is full",
    "storage_quota": "the storage is full: its quota is used up",
    "storage_file_too_large": "the file is larger than the storage takes",
    "storage_read_only": "the storage is read-only",
    "storage_forbidden": "the storage may not be written or read by this process",
    "storage_missing": "the storage directory is not there",
    "storage_not_a_directory": "the storage directory is not a directory",
    "storage_no_bucket": "the bucket of the storage is not there",
    "storage_unreachable": "the storage does not answer",
    "storage_overloaded": "the storage has too much to do",
    "storage_wrong": "the storage does not give back what was written to it",
    "storage_link": "a link stands where the storage has a directory or file of its own",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a process ended; `str()` tells it in English."""

    phrase: str
    values: Mapping[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        return PHRASES[self.phrase].format_map(self.values)

    @property
    def value(self) -> dict[str, Any]:
        """As the value of a failure."""
        return {"phrase": self.phrase, **self.values}
