"""notifications.send, by mail and by webhook, against a real mail server and a real receiver."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine
from standardwebhooks import Webhook

from taskyard.catalogue.kits import load
from taskyard.catalogue.secrets import Cipher
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed
from taskyard.outbound.signing import make_secret
from taskyard.running.trial import NotAdmitted, TaskRun, run_task
from taskyard.running.webhooks import Webhooks
from taskyard.settings import Settings
from taskyard.store import ledger, users, webhook_endpoints
from taskyard.store.users import UserData
from taskyard.store.webhook_endpoints import WebhookEndpoint
from taskyard_dev.smtp_sink import smtp_sink
from taskyard_kits.notifications.settings import NotificationSettings
from tests.support.receiver import receiver

KEY = Fernet.generate_key().decode()


def notify(
    engine: Engine, params: dict[str, Any], *, smtp_port: int = 1, tasks: Engine | None = None, **more: Any
) -> TaskRun:
    settings = NotificationSettings.model_validate(
        {
            "smtp_host": "127.0.0.1",
            "smtp_port": smtp_port,
            "smtp_security": "none",
            "outbound_networks": "127.0.0.0/8",
        }
    )
    webhooks = Webhooks(partial(ledger.run_transaction, engine), Cipher([KEY]))
    return run_task("notifications.send", params, settings=settings, webhooks=webhooks, engine=tasks or engine, **more)


def endpoint(engine: Engine, url: str, secret: str) -> str:
    new = WebhookEndpoint(id=new_id(), url=url, description="", submitted_by="ci", secret=Cipher([KEY]).seal(secret))
    with ledger.transaction(engine) as conn:
        return str(webhook_endpoints.insert(conn, new).id)


def test_a_webhook_is_signed_and_has_the_tasks_id(engine: Engine) -> None:
    secret = make_secret()
    with receiver() as other_end:
        at = endpoint(engine, other_end.url, secret)
        run = notify(engine, {"channel": "webhook", "message": "Grüße", "webhook_endpoint_id": at})
    (got,) = other_end.got
    Webhook(secret).verify(got.body, got.headers)
    assert got.json == {
        "type": "notification",
        "data": {"id": str(run.task_id), "subject": "Notification", "message": "Grüße"},
    }
    assert run.result["message_id"] == got.headers["webhook-id"] == str(run.task_id)


def test_a_mail_arrives(engine: Engine, tmp_path: Path) -> None:
    with smtp_sink(tmp_path) as port:
        run = notify(engine, {"channel": "email", "message": "Hello", "to_email": "eva@example.org"}, smtp_port=port)
    (mail,) = tmp_path.glob("*.eml")
    assert b"Hello" in mail.read_bytes()
    assert run.result["message_id"].encode() in mail.read_bytes()


@pytest.mark.parametrize(
    ("key", "queues", "sent"), [("ci", ["default"], 1), ("other", ["default"], 0), ("other", None, 1)]
)
def test_a_restricted_key_notifies_its_own_endpoints_only(
    engine: Engine, key: str, queues: list[str] | None, sent: int
) -> None:
    with receiver() as other_end:
        at = endpoint(engine, other_end.url, make_secret())
        params = {"channel": "webhook", "message": "Hi", "webhook_endpoint_id": at}
        run = notify(engine, params, submitted_by=key, allowed_queues=queues)
    assert len(other_end.got) == sent
    if not sent:
        assert isinstance(run.outcome, Failed)
        assert run.fault.code == "webhook_endpoint_deleted"


def written(engine: Engine, **more: Any) -> None:
    data = UserData(email="eva@example.org", name="Eva", **more)
    ledger.run_transaction(engine, lambda conn: users.put(conn, 7, data, by="ci"))


def test_a_user_is_notified_at_its_address_and_its_endpoint(engine: Engine, task_url: str, tmp_path: Path) -> None:
    tasks = ledger.make_engine(task_url)
    with receiver() as other_end, smtp_sink(tmp_path) as port:
        written(engine, webhook_endpoint_id=endpoint(engine, other_end.url, make_secret()))
        by_mail = notify(engine, {"message": "Hello", "user_id": 7}, smtp_port=port, tasks=tasks)
        by_webhook = notify(engine, {"channel": "webhook", "message": "Hello", "user_id": 7}, tasks=tasks)
    tasks.dispose()
    (mail,) = tmp_path.glob("*.eml")
    assert b"eva@example.org" in mail.read_bytes()
    assert [got.json["data"]["message"] for got in other_end.got] == ["Hello"]
    assert (by_mail.result["channel"], by_webhook.result["channel"]) == ("email", "webhook")


def test_a_user_without_an_endpoint_or_of_another_key_is_a_clear_error(engine: Engine) -> None:
    written(engine)
    params = {"channel": "webhook", "message": "Hi", "user_id": 7}
    restricted: dict[str, Any] = {"submitted_by": "other", "allowed_queues": ["default"]}
    nothing: dict[str, Any] = {}
    for code, more in (("user_without_endpoint", nothing), ("user_not_found", restricted)):
        run = notify(engine, params, **more)
        assert isinstance(run.outcome, Failed)
        assert (run.fault.code, run.fault.retryable) == (code, False)


def test_a_message_has_a_thousand_characters_at_most(engine: Engine) -> None:
    with receiver() as other_end:
        at = endpoint(engine, other_end.url, make_secret())
        params = {"channel": "webhook", "webhook_endpoint_id": at}
        assert not isinstance(notify(engine, params | {"message": "é" * 1_000}).outcome, Failed)
        with pytest.raises(NotAdmitted, match="/params/message"):
            notify(engine, params | {"message": "é" * 1_001})


def test_its_span_tells_the_channel_and_no_user(engine: Engine, task_url: str) -> None:
    tasks = ledger.make_engine(task_url)
    with receiver() as other_end:
        written(engine, webhook_endpoint_id=endpoint(engine, other_end.url, make_secret()))
        run = notify(engine, {"channel": "webhook", "message": "Hi", "user_id": 7}, tasks=tasks)
    tasks.dispose()
    assert run.attributes == {"notification.channel": "webhook", "notification.success": True}


def test_it_is_tried_five_times_more_with_doubled_pauses() -> None:
    policy = load(Settings()).catalogue["notifications.send"].retry
    pauses = [policy.delay(n, rand=lambda: 1.0) for n in range(1, 6)]
    assert pauses == [timedelta(seconds=s) for s in (2, 4, 8, 16, 32)]
    assert policy.delay(12, rand=lambda: 1.0) == timedelta(seconds=300)
