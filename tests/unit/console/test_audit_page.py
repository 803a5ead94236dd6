"""The page of the audit log: actions in words, and what was changed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from babel.support import NullTranslations

from taskyard.store.audit import Action
from taskyard_client.management_models import AuditTarget
from taskyard_console import audit_words
from tests.unit.console.fleet_api import AT, signed_in

TASK = str(UUID(int=7))


def test_every_action_of_the_audit_log_has_words() -> None:
    visit: Any = SimpleNamespace(words=NullTranslations())
    titles = audit_words.titles(visit)
    assert titles.keys() == set(Action)
    assert len(set(titles.values())) == len(titles)


def test_targets_of_the_audit_log_lead_to_their_pages() -> None:
    assert audit_words.path_of(AuditTarget(type="queue", id="a b")) == "/queues/a%20b"
    assert audit_words.path_of(AuditTarget(type="key", id="ci")) == "/keys"
    assert audit_words.path_of(AuditTarget(type="tasks")) == ""
    assert audit_words.path_of(AuditTarget(type="user", id="1")) == ""


def entry_of(kind: str, target_id: str | None, **details: Any) -> dict[str, Any]:
    target = {"type": kind, "id": target_id}
    return {"id": TASK, "at": AT, "action": f"{kind}.change", "actor": "ada", "target": target, "details": details}


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        (entry_of("task", TASK, name="mail.send"), f'<a href="/tasks/{TASK}">mail.send</a>'),
        (entry_of("schedule", TASK, name="nightly <b>"), f'<a href="/schedules/{TASK}">nightly &lt;b&gt;</a>'),
        (entry_of("webhook_endpoint", TASK, url="https://a.example/"), '<span class="text">https://a.example/</span>'),
        (entry_of("error", TASK), f'<a href="/errors/{TASK}">{TASK}</a></td>'),
        (entry_of("queue", "mail", before={"name": "x"}), '<a href="/queues/mail">mail</a></td>'),
        (entry_of("task", TASK, name=["mail.send"]), f'<a href="/tasks/{TASK}">{TASK}</a></td>'),
        (entry_of("tasks", None, changed=3), '<span class="text"></span></td>'),
    ],
)
def test_what_was_changed_is_called_by_its_name_and_its_id_stands_below(entry: dict[str, Any], shown: str) -> None:
    browser, api = signed_in("admin")
    api.audit = [entry]
    text = browser.get("/audit").text
    assert shown in text
    assert (f'<small class="line"><code>{TASK}</code></small>' in text) == (not shown.endswith("</td>"))
