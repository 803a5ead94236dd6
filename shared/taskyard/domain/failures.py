"""The failures that the platform itself records: their codes, and what people are told of them in English.

A failure is stored as its code and its values, with the English sentence of that time beside them. Readers get the
words of their language, by code: those of the platform's codes stand in the API's catalogues (`locale/`), those of a
task type's own codes in the type's declaration.
"""

from __future__ import annotations

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
    # Parameters and results, checked by the worker
    "params_invalid": "The stored parameters do not fit the task type: {reason}",
    "secret_unreadable": "A secret parameter of this task cannot be read here: {reason}."
    " Ask the operator to check TASKYARD_SECRET_KEYS.",
    "task_unreadable": "The stored task cannot be read: {reason}",
    "result_invalid": "What the task returned does not fit its declared result: {reason}",
    "result_too_large": "The result is larger than 256 KiB: keep it in storage and return its id.",
    "result_not_storable": "What the task returned cannot be stored: {reason}",
    # The database of tasks
    "no_task_database": "This task needs PostgreSQL, and its worker has no address for tasks."
    " Ask the operator to set TASKYARD_TASK_DATABASE_URL.",
    "task_role_too_powerful": "Tasks may not use PostgreSQL as {role}, which could touch the platform's own tables"
    " ({right}). Ask the operator to name another role in TASKYARD_TASK_DATABASE_URL: `taskyard-api migrate` makes it.",
    # Submits of tasks
    "unknown_queue": "There is no queue {queue}.",
    "queue_not_allowed": "Whoever submitted this task may not use the queue {queue}.",
}

# Values that are phrases, by the name that stands in their place: {"phrase": "storage_full"}.
PHRASES = {
    "secret_keys_unset": "TASKYARD_SECRET_KEYS is not set: secret parameters cannot be read",
    "secret_keys_wrong": "none of TASKYARD_SECRET_KEYS opens a secret parameter",
    "storage_full": "the storage is full",
    "storage_quota": "the storage is full: its quota is used up",
    "storage_file_too_large": "the file is larger than the storage takes",
    "storage_read_only": "the storage is read-only",
    "storage_forbidden": "the storage may not be written or read by this process",
    "storage_missing": "the storage directory is not there",
    "storage_not_a_directory": "the storage directory is not a directory",
    "storage_link": "a link stands where the storage has a directory or file of its own",
}
