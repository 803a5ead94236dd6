"""Parameters that name a person.

`user_id: Person[int]` says that a task is about the person with this id, and `to_email: Person[EmailAddress]` that it
is about the one with this address: `DELETE /users/{id}` finds and erases such tasks (docs/users.md). Only parameters of
the first level count: a task with a list of persons is about none of them.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import Field

# In the JSON Schema of the type, which is what the ledger knows of it.
MARK = "x-taskyard-person"

T = TypeVar("T")
Person = Annotated[T, Field(json_schema_extra={MARK: True})]
