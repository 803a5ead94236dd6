"""email.* and a mail server in a process of its own, which wants STARTTLS and a login, and refuses, stalls and lies."""

from __future__ import annotations

import datetime as dt
import os
import select
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from taskyard.domain.errors import TaskError
from taskyard.domain.tasks import Failed, RetryIn
from taskyard.running.trial import TaskRun, run_task
from taskyard_kits.mail import connections, messages, smtp
from taskyard_kits.mail.answers import Greylisted
from taskyard_kits.mail.connections import Pool
from taskyard_kits.mail.settings import MailSettings
from tests.support.certificates import Authority
from tests.support.fleet import wait_for
from tests.support.mail_server import LOGIN, MailServer, mail_server


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with mail_server(tmp_path / "mails", authority) as started:
        yield started
        close(connections.POOL)


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Of the test alone; what is left in it is closed."""
    made = Pool()
    yield made
    close(made)


def close(pool: Pool) -> None:
    for connection in pool.take_all():
        connection.close()


def settings(server: MailServer, **more: Any) -> MailSettings:
    user, password = LOGIN
    base = {"smtp_host": "127.0.0.1", "smtp_port": server.port, "smtp_user": user, "smtp_password": password}
    return MailSettings.model_validate(base | {"mail_from": "yard@example.com", "smtp_timeout_seconds": 5.0} | more)


def send(server: MailServer, word: str = "eva", **more: Any) -> TaskRun:
    """`word`: what the server does."""
    params = {"to_email": f"{word}@example.org", "subject": "Hello", "text": "Hello"}
    return run_task("email.send", params, settings=settings(server, **more))


def hand_over(server: MailServer, pool: Pool, to_email: str = "eva@example.org", **more: Any) -> None:
    given = settings(server, **more)
    message = messages.compose(settings=given, task_id=UUID(int=1), to_email=to_email, subject=to_email, text="Hello")
    smtp.send(message, given, pool=pool)


# Refusals


@pytest.mark.parametrize(
    ("word", "what"), [("refused", "the recipient"), ("spam", "the message")], ids=["recipient", "data"]
)
def test_a_refusal_for_good_names_what_was_refused_and_is_not_tried_again(
    server: MailServer, word: str, what: str
) -> None:
    run = send(server, word)
    assert isinstance(run.outcome, Failed)
    assert (run.fault.code, run.fault.retryable) == ("smtp_refused", False)
    assert what in run.fault.message
    assert server.recipients() == []


def test_a_refused_sender_is_told_apart_from_a_refused_recipient(server: MailServer) -> None:
    run = send(server, mail_from="banned@example.com")
    assert isinstance(run.outcome, Failed)
    assert "the sender" in run.fault.message
    assert "553" in run.fault.message


@pytest.mark.parametrize("word", ["later", "full", "closing"])
def test_a_refusal_for_now_is_tried_again_with_back_off(server: MailServer, word: str) -> None:
    run = send(server, word)
    assert isinstance(run.outcome, RetryIn)
    assert run.fault.code == "smtp_temporary"
    assert run.outcome.delay >= dt.timedelta(seconds=3), "5 % of a minute"
    assert server.recipients() == []


def test_greylisting_is_tried_again_after_the_time_that_the_server_wants(server: MailServer) -> None:
    run = send(server, "greylisted")
    assert isinstance(run.outcome, RetryIn)
    assert (run.fault.code, run.outcome.delay) == ("smtp_temporary", dt.timedelta(seconds=120))
    assert send(server, "greylisted").result["status"] == "sent"
    assert server.recipients() == ["greylisted@example.org"]


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ("450 4.2.0 Greylisted, see http://example.org/x.html", 300),
        ("451 4.7.1 Gray-listed: retry in 10 minutes", 600),
        ("451 greylisting in action, come back in 00:05:00", 300),
        ("450 greylisted for 7200 s", 3600),
        ("450 greylisted for 1 second", 60),
        ("450 greylisted for 99999 mins", 3600),
    ],
)
def test_the_time_of_greylisting_is_read_and_bounded(answer: str, seconds: int) -> None:
    assert Greylisted(answer).after == dt.timedelta(seconds=seconds)


def test_a_connection_that_is_cut_in_the_middle_is_tried_again_soon_and_nothing_arrives_twice(
    server: MailServer,
) -> None:
    run = send(server, "cut")
    assert isinstance(run.outcome, RetryIn)
    assert run.fault.code == "smtp_unreachable"
    assert run.outcome.delay <= dt.timedelta(seconds=5)
    assert send(server, "cut").result
    assert server.recipients() == ["cut@example.org"]


def test_a_server_that_takes_the_data_and_never_answers_is_told_as_that(server: MailServer) -> None:
    assert send(server, "mute").fault.code == "smtp_no_verdict"
    assert server.recipients() == ["mute@example.org"]


def test_a_slow_server_gets_the_mail_once(server: MailServer) -> None:
    assert send(server, "slow", smtp_timeout_seconds=3.0).result
    assert server.recipients() == ["slow@example.org"]


# One connection for many messages


def test_messages_share_a_connection_with_one_login(server: MailServer, pool: Pool) -> None:
    for n in range(5):
        hand_over(server, pool, f"eva-{n}@example.org")
    assert server.recipients() == [f"eva-{n}@example.org" for n in range(5)]
    assert [len(server.happened(what)) for what in ("connected", "encrypted", "login")] == [1, 1, 1]
    assert len(server.happened("reset")) == 4, "each message after the first begins anew"


def test_a_refused_message_leaves_nothing_behind_for_the_next_one(server: MailServer, pool: Pool) -> None:
    for word in ("refused", "spam"):
        with pytest.raises(TaskError):
            hand_over(server, pool, f"{word}@example.org")
    hand_over(server, pool)
    assert server.recipients() == ["eva@example.org"]
    assert server.connections() == 1


@pytest.mark.parametrize("word", ["lying", "closing", "cut", "mute"])
def test_a_connection_that_the_server_has_left_is_not_used_again(server: MailServer, pool: Pool, word: str) -> None:
    hand_over(server, pool)
    with nullcontext() if word == "lying" else pytest.raises(TaskError):
        hand_over(server, pool, f"{word}@example.org")
    for idle in pool.take_all():
        assert idle.server.sock is not None
        assert select.select([idle.server.sock], [], [], 15)[0], "the liar hangs up after its answer"
        pool.give(idle, idle_seconds=30)
    hand_over(server, pool, "last@example.org")
    counted = Counter(server.recipients())
    assert counted["last@example.org"] == 1
    assert counted["lying@example.org"] == (word == "lying"), "its answer counts, and it gets the mail once"
    assert server.connections() == 2


def test_a_server_that_was_started_anew_costs_no_attempt(server: MailServer, pool: Pool, tmp_path: Path) -> None:
    """As when its idle connections are cut by anything in between: nothing had begun on them."""
    hand_over(server, pool)
    (idle,) = pool.take_all()
    idle.server.sock.shutdown(2)  # type: ignore[union-attr]
    pool.give(idle, idle_seconds=30)
    hand_over(server, pool)
    assert len(server.recipients()) == 2


def test_a_server_that_stalls_on_an_idle_connection_costs_no_attempt(
    server: MailServer, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_PATIENCE_SECONDS", 0.5)
    hand_over(server, pool)
    os.kill(server.pid, signal.SIGSTOP)
    threading.Timer(4.0, os.kill, (server.pid, signal.SIGCONT)).start()
    hand_over(server, pool)
    assert server.connections() == 2
    assert len(server.recipients()) == 2


def test_a_connection_is_never_used_by_two_tasks_at_once(server: MailServer, pool: Pool) -> None:
    threads, count = 4, 60
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(lambda n: hand_over(server, pool, f"to-{n}@example.org"), range(count)))
    assert sorted(server.recipients()) == sorted(f"to-{n}@example.org" for n in range(count))
    for message, recipient in zip(server.messages(), server.recipients(), strict=True):
        assert message["To"] == message["Subject"] == recipient
    assert server.connections() <= threads
    open_on: set[int] = set()
    for one in server.happened():
        if one["what"] == "begun":
            assert one["connection"] not in open_on, "a message begins where another has not ended"
            open_on.add(one["connection"])
        elif one["what"] == "kept":
            open_on.remove(one["connection"])


def test_an_idle_connection_is_closed_in_order_when_its_time_is_over(server: MailServer, pool: Pool) -> None:
    hand_over(server, pool, smtp_idle_seconds=3.0)
    assert server.happened("quit") == []
    wait_for(lambda: server.happened("quit"), 20, "the goodbye")
    assert pool.take_all() == []
    hand_over(server, pool, smtp_idle_seconds=0.0)
    wait_for(lambda: len(server.happened("quit")) == 2, 10, "a goodbye at once")
    assert server.connections() == 2


def test_a_connection_ends_after_so_many_messages(
    server: MailServer, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_MOST_MESSAGES", 3)
    for _ in range(7):
        hand_over(server, pool)
    assert server.connections() == 3
    assert len(server.recipients()) == 7


def test_the_name_of_this_host_is_looked_up_once(
    server: MailServer, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def look_up() -> str:
        asked.append("asked")
        return "yard.example.com"

    monkeypatch.setattr(socket, "getfqdn", look_up)
    connections._own_name.cache_clear()
    for _ in range(3):
        hand_over(server, pool, smtp_idle_seconds=0.0)
    connections._own_name.cache_clear()
    assert (server.connections(), asked) == (3, ["asked"])


def test_another_login_never_gets_the_connection_of_the_first(server: MailServer, pool: Pool) -> None:
    hand_over(server, pool)
    with pytest.raises(TaskError) as refused:
        hand_over(server, pool, smtp_password="wr0ng")
    assert refused.value.code == "smtp_auth_failed"
    assert len(server.recipients()) == 1


def test_a_task_that_is_interrupted_does_not_give_its_connection_back(server: MailServer, pool: Pool) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(*_: Any) -> Any:
        raise Interrupted

    hand_over(server, pool)
    (kept,) = pool.take_all()
    pool.give(kept, idle_seconds=30)
    kept.server.rcpt = interrupt  # type: ignore[method-assign,assignment]
    with pytest.raises(Interrupted):
        hand_over(server, pool)
    assert pool.take_all() == []
    hand_over(server, pool)
    assert server.connections() == 2


def test_a_copy_of_the_process_has_no_connections_of_the_original(server: MailServer, pool: Pool) -> None:
    hand_over(server, connections.POOL)
    copy = os.fork()
    if copy == 0:
        os._exit(0 if not connections.POOL.take_all() else 1)
    assert os.waitpid(copy, 0)[1] == 0
    hand_over(server, connections.POOL)
    assert server.connections() == 1
