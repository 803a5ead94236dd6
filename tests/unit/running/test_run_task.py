"""run_task, and what holds for every built-in type."""

import logging
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from taskyard import Params, Result, Retry, Secret, TaskContext, task
from taskyard.catalogue.kits import KitsUnusable, load
from taskyard.catalogue.types import Catalogue, TaskType, UnknownTaskType
from taskyard.domain.retry import RULES, RetryPolicy
from taskyard.domain.tasks import Failed, RetryIn, Succeeded
from taskyard.running.child import Child
from taskyard.running.trial import NotAdmitted, run_task
from taskyard.settings import Settings
from taskyard_kits.diagnostics.tasks import echo
from taskyard_worker.child.skills import Skills

EVERY = Settings(diagnostics=True)


class TalkParams(Params):
    token: Secret[str]
    then: str = "return"


class Talked(Result):
    token_length: int


@task("test.talk")
def talk(params: TalkParams, context: TaskContext) -> Talked:
    context.progress(1, 4, "begin")
    context.progress(2, 4, "begin")
    context.progress(3, None, "end")
    said = f"the token {params.token.reveal()}"
    context.set_attributes({"talk.said": said, "talk.times": 2, "talk.of": [f"{params}", params.then]})
    context.log(f"my token is {params.token.reveal()}")
    print(f"printed {params.token.reveal()}")  # noqa: T201
    logging.getLogger("somebody.else").info("logged %s", params.token.reveal())
    with context.storage.writer() as writer:
        writer.write(b"x")
        writer.commit()
    match params.then:
        case "raise":
            raise ValueError(f"wrong token {params.token.reveal()}")
        case "retry":
            raise Retry("later")
        case "database":
            with context.db():
                pass
        case "submit":
            context.submit(echo, {"value": 1})
            context.submit_many([Child("diagnostics.echo", {"value": n}) for n in (2, 3)])
        case "submit loosely":
            context.submit("diagnostics.sleep", {"seconds": "1"})
        case "submit nowhere":
            context.submit("diagnostics.echo", {"value": 1}, queue="nowhere")
        case "submit the unknown":
            context.submit("diagnostics.ecko", {})
        case "submit a NUL":
            context.submit("diagnostics.echo", {"value": "\x00"})
        case "exit":
            sys.exit(3)
    return Talked(token_length=len(params.token.reveal()))


SECRET = "s3cr3t-words"


def test_it_keeps_what_the_task_said_with_secrets_struck_out() -> None:
    run = run_task(talk, {"token": SECRET})
    assert run.result == {"token_length": len(SECRET)}
    assert run.progress == [(1, 4, "begin"), (2, 4, "begin"), (3, None, "end")]
    assert run.stages == ["begin", "end"]
    assert run.logs == ["my token is ***", "printed ***", "logged ***"]
    assert run.attributes["talk.said"] == "the token ***"
    assert run.attributes["talk.times"] == 2
    assert SECRET not in str(run.attributes)


def test_parameters_may_come_as_their_model() -> None:
    assert run_task(talk, TalkParams(token=Secret("abc"))).result == {"token_length": 3}


def test_an_error_is_an_outcome_without_the_secret() -> None:
    run = run_task(talk, {"token": SECRET, "then": "raise"})
    assert isinstance(run.outcome, RetryIn)
    assert run.outcome.fault.message == "wrong token ***"
    assert SECRET not in repr(run.outcome)
    with pytest.raises(AssertionError, match=r"wrong token \*\*\*"):
        run.result  # noqa: B018


def test_the_last_attempt_fails_for_good() -> None:
    last = run_task(talk, {"token": "x", "then": "retry"}, attempt=RetryPolicy().max_attempts)
    assert isinstance(last.outcome, Failed)
    assert last.outcome.fault.code == "retry_requested"


def test_children_are_checked_and_kept() -> None:
    run = run_task(talk, {"token": "x", "then": "submit"})
    assert [(c.name, c.params["value"]) for c in run.submitted] == [
        ("diagnostics.echo", 1),
        ("diagnostics.echo", 2),
        ("diagnostics.echo", 3),
    ]


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("submit loosely", "params_invalid"),
        ("submit nowhere", "unknown_queue"),
        ("submit the unknown", "unknown_task_type"),
        ("submit a NUL", "params_invalid"),
    ],
)
def test_children_are_refused_as_a_worker_refuses_them(then: str, code: str) -> None:
    run = run_task(talk, {"token": "x", "then": then})
    assert isinstance(run.outcome, Failed | RetryIn)
    assert run.outcome.fault.code == code
    assert run.submitted == []


def test_without_a_database_the_error_says_so() -> None:
    run = run_task(talk, {"token": "x", "then": "database"})
    assert isinstance(run.outcome, Failed)
    assert run.outcome.fault.code == "no_database"


def test_an_exit_ends_the_task_and_not_the_process() -> None:
    assert not isinstance(run_task(talk, {"token": "x", "then": "exit"}).outcome, Succeeded)


def test_everything_is_put_back_afterwards() -> None:
    root = logging.getLogger()
    before = (sys.stdout, root.level, list(root.handlers), structlog.get_config()["processors"][:])
    threads = set(threading.enumerate())
    run_task(talk, {"token": "x", "then": "raise"})
    run_task("health.check", {})
    assert before == (sys.stdout, root.level, list(root.handlers), structlog.get_config()["processors"])
    assert set(threading.enumerate()) <= threads


def test_what_a_submit_would_refuse_is_refused() -> None:
    with pytest.raises(UnknownTaskType, match=r"diagnostics\.echo"):
        run_task("diagnostics.ecko", {})
    with pytest.raises(UnknownTaskType, match=r"There is no task type 'nope'\. Loaded here: analytics\.aggregate, .+"):
        run_task("nope", {})
    with pytest.raises(NotAdmitted) as refused:
        run_task("diagnostics.sleep", {"seconds": -1, "second": 1})
    assert [fault.pointer for fault in refused.value.faults] == ["/params/seconds", "/params/second"]
    first, *lines = str(refused.value).splitlines()
    assert "diagnostics.sleep" in first
    assert lines == [f"{fault.pointer}: {fault.message}" for fault in refused.value.faults]
    with pytest.raises(NotAdmitted, match=r"/params/value: .*NUL"):
        run_task("diagnostics.echo", {"value": "\x00"})
    with pytest.raises(TypeError, match="@task"):
        run_task(lambda params, context: None, {})


def test_every_declared_type_has_a_function() -> None:
    catalogue = Skills.load(EVERY).catalogue
    assert all(task_type.function is not None for task_type in catalogue)
    assert {"email.send", "email.send_welcome", "files.process_large_file", "files.generate_thumbnail"} < set(
        catalogue.names
    )


@pytest.mark.parametrize("queue", ["epoch", "a.DQ", "", "x" * 64])
def test_a_type_cannot_bring_a_queue_whose_name_is_taken_in_redis(queue: str) -> None:
    with pytest.raises(ValueError, match=r"'test\.elsewhere': .* cannot name a queue"):
        Catalogue([TaskType(name="test.elsewhere", description="", params=Params, result=Result, queue=queue)])


def test_the_name_of_a_task_type_has_a_bound() -> None:
    fits, long = (TaskType(name="test." + "uu" * n, description="", params=Params, result=Result) for n in (61, 62))
    Catalogue([fits])
    with pytest.raises(ValueError, match="128 bytes"):
        Catalogue([long])


def test_a_type_without_a_function_is_named() -> None:
    with pytest.raises(KitsUnusable, match=r"no function implements tests\.orphan"):
        Skills.load(Settings(task_modules=("tests.support.orphan_types",)))


def test_diagnostics_are_known_only_where_they_are_asked_for() -> None:
    assert not [name for name in load(Settings(diagnostics=False)).catalogue.names if name.startswith("diagnostics.")]
    assert len([name for name in load(EVERY).catalogue.names if name.startswith("diagnostics.")]) == 5


@pytest.mark.parametrize("name", load(EVERY).catalogue.names)
def test_every_type_is_described_and_bounded(name: str) -> None:
    task_type = load(EVERY).catalogue[name]
    assert task_type.description.endswith(".")
    assert task_type.params.model_json_schema()["additionalProperties"] is False
    assert task_type.result.model_json_schema()["additionalProperties"] is False
    assert task_type.soft_limit < task_type.hard_limit


def test_the_queues_and_budgets_are_those_of_the_design() -> None:
    catalogue = load(Settings(diagnostics=False)).catalogue
    assert {t.name: (t.queue, t.retry.retries) for t in catalogue} == {
        "email.send": ("default", 5),
        "email.send_welcome": ("default", 5),
        "email.send_verification": ("default", 5),
        "email.send_password_reset": ("high_priority", 5),
        "email.send_newsletter": ("low_priority", 5),
        "files.process_large_file": ("default", 3),
        "files.generate_thumbnail": ("default", 3),
        "files.import_data": ("default", 3),
        "files.convert_document": ("default", 3),
        "data.sync": ("default", 3),
        "health.check": ("high_priority", 1),
        "models.refresh_cache": ("low_priority", 3),
        "notifications.send": ("default", 5),
        "payments.process": ("high_priority", 3),
        "users.create_profile": ("default", 3),
        "users.erase": ("default", 11),
        "users.update_stats": ("default", 3),
        "webhooks.deliver": ("default", 10),
        "files.cleanup_old": ("low_priority", 3),
        "files.cleanup_temporary": ("low_priority", 3),
        "maintenance.archive_tasks": ("low_priority", 3),
        "maintenance.change_tasks": ("high_priority", 99),
        "maintenance.cleanup_expired_data": ("low_priority", 3),
        "analytics.aggregate": ("low_priority", 3),
        "reports.generate": ("default", 3),
        "geo.convert_to_raster": ("geo_processing", 3),
        "selection.load_gsheet": ("selection", 3),
        "selection.manage_old_tabs": ("selection", 3),
        "selection.run_select": ("selection", 3),
        "taskyard.echo": ("default", 0),
    }
    assert catalogue["health.check"].retry.delay(1).total_seconds() == 60
    assert replace(catalogue["files.generate_thumbnail"].retry, rules=RULES) == RetryPolicy()


class PathResult(Result):
    path: str


@task("tests.temporary")
def use_temporary_directory(params: Params, *, context: TaskContext) -> PathResult:
    (context.temp_dir / "a").write_bytes(b"x")
    assert context.temp_dir.stat().st_mode & 0o077 == 0
    return PathResult(path=str(context.temp_dir))


def test_an_attempt_has_a_temporary_directory_of_its_own_which_is_gone_afterwards() -> None:
    paths = {run_task(use_temporary_directory).result["path"] for _ in range(2)}
    assert len(paths) == 2
    assert not any(Path(path).exists() for path in paths)
