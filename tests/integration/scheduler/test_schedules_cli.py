"""`taskyard-scheduler schedules`: a file is applied as a whole or not at all; what is wrong in it is told by line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from taskyard_scheduler import schedules_cli
from taskyard_scheduler.commands import app
from tests.support.scheduling import execute, scalar
from tests.support.specs import register_kits

FILE = """\
source: billing
schedules:
  - name: nightly
    task: {name: diagnostics.echo, params: {value: 1}}
    trigger: {cron: "0 2 * * *", timezone: Europe/Budapest}
  - name: often
    task:
      name: email.send_verification
      params: {to_email: a@example.org, username: a, token: s3cret}
    trigger: {every_seconds: 90}
    overlap: skip
"""


@pytest.fixture
def apply(
    engine: Engine, database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    monkeypatch.setenv("TASKYARD_DATABASE_URL", database_url)
    monkeypatch.setenv("TASKYARD_REDIS_URL", redis_url)
    monkeypatch.setenv("TASKYARD_SECRET_KEYS", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    register_kits(engine)

    def run(text: str, *options: str, name: str = "schedules.yaml", answer: str = "") -> Result:
        path = tmp_path / name
        path.write_text(text)
        return CliRunner().invoke(app, ["schedules", "apply", str(path), *options], input=answer)

    return run


def schedules(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["schedules", *arguments])


def names(engine: Engine) -> str:
    return str(scalar(engine, "SELECT string_agg(name, ' ' ORDER BY name) FROM schedule"))


def test_a_file_is_shown_as_a_diff_and_applied_when_it_is_confirmed(
    apply: Callable[..., Result], engine: Engine
) -> None:
    refused = apply(FILE, answer="n\n")
    assert (refused.exit_code, names(engine)) == (1, "None")
    first = apply(FILE, answer="y\n")
    assert first.exit_code == 0, first.output
    assert [line for line in first.stdout.splitlines() if line.startswith("+")] == ["+ nightly", "+ often"]
    assert "s3cret" not in first.output
    assert names(engine) == "nightly often"
    assert scalar(engine, "SELECT count(*) FROM audit WHERE action = 'schedule.create'") == 2
    again = apply(FILE, "--yes")
    assert again.stdout == "Nothing to change.\n"


def test_only_what_differs_is_changed_and_a_pause_by_hand_stays(apply: Callable[..., Result], engine: Engine) -> None:
    apply(FILE, "--yes")
    assert "paused" in schedules("pause", "nightly").stdout
    changed = apply(FILE.replace("0 2 * * *", "0 3 * * *").replace("value: 1", "value: 2"), "--yes")
    assert changed.exit_code == 0, changed.output
    lines = changed.stdout.splitlines()
    assert lines[0] == "~ nightly"
    assert '    task.params: {"value":1} -> {"value":2}' in lines
    assert "~ often" not in lines
    assert scalar(engine, "SELECT enabled FROM schedule WHERE name = 'nightly'") is False
    assert "next due" in schedules("resume", "nightly").stdout


def test_prune_deletes_what_the_same_file_made_and_nothing_else(apply: Callable[..., Result], engine: Engine) -> None:
    apply(FILE, "--yes")
    apply(FILE.replace("source: billing", "source: other").replace("nightly", "theirs"), "--yes")
    alone = FILE[: FILE.index("  - name: often")]
    kept = apply(alone, "--yes")
    assert kept.stdout == "Nothing to change.\n"
    apply(FILE, "--yes")  # `often` is this file's again
    pruned = apply(alone, "--prune", "--yes")
    assert "- often" in pruned.stdout.splitlines()
    assert names(engine) == "nightly theirs"


def test_prune_deletes_nothing_that_was_changed_after_it_was_shown(
    apply: Callable[..., Result], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(FILE, "--yes")

    def rename(*_: object, **__: object) -> None:
        execute(engine, "UPDATE schedule SET version = version + 1 WHERE name = 'often'")

    monkeypatch.setattr(schedules_cli, "_confirm", rename)
    pruned = apply(FILE[: FILE.index("  - name: often")], "--prune")
    assert (pruned.exit_code, "changed meanwhile" in pruned.stderr) == (1, True)
    assert names(engine) == "nightly often"


def test_what_fired_after_it_was_shown_stays_fired(
    apply: Callable[..., Result], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of what is due takes the cursor where the leader has moved it while people thought."""
    apply(FILE, "--yes")
    execute(
        engine, "UPDATE schedule SET next_due_at = now() - interval '1 minute', fires_at = now() WHERE name = 'often'"
    )

    def fire(*_: object, **__: object) -> None:
        execute(engine, "UPDATE schedule SET next_due_at = next_due_at + interval '2 minutes' WHERE name = 'often'")

    monkeypatch.setattr(schedules_cli, "_confirm", fire)
    changed = apply(FILE.replace("    overlap: skip", "    jitter_seconds: 5"))
    assert changed.exit_code == 0, changed.output
    assert scalar(engine, "SELECT next_due_at > now() FROM schedule WHERE name = 'often'") is True


def test_a_date_that_has_passed_is_left_out_of_a_new_installation_only(
    apply: Callable[..., Result], engine: Engine
) -> None:
    past = FILE.replace("{every_seconds: 90}", '{at: "2020-01-01T00:00:00Z"}')
    first = apply(past, "--yes")
    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines()[0] == "! often: left out, because its time has passed"
    assert names(engine) == "nightly"
    apply(FILE, "--yes")
    moved = apply(past, "--yes")
    assert moved.exit_code == 2
    assert ":10: /schedules/1/trigger/at: This time has passed." in moved.stderr


def test_what_ended_in_the_past_is_left_out_like_a_date_that_has_passed(
    apply: Callable[..., Result], engine: Engine
) -> None:
    ended = 'end_at: "2020-06-01T00:00:00Z"'
    for trigger in ('{cron: "0 2 * * *"}', "{every_seconds: 90}", '{at: "2020-01-01T00:00:00Z"}'):
        left = apply(FILE.replace("{every_seconds: 90}", trigger).replace("overlap: skip", ended), "--dry-run")
        assert "! often: left out, because its time has passed" in left.stdout.splitlines(), left.output
    never = FILE.replace("{every_seconds: 90}", '{cron: "0 0 2nd fri * */7"}')
    assert ":10: /schedules/1/trigger: It is never due" in apply(never, "--yes").stderr
    late = FILE.replace("{every_seconds: 90}", '{at: "2021-01-01T00:00:00Z"}').replace("overlap: skip", ended)
    assert ":10: /schedules/1/trigger/at: Must lie between" in apply(late, "--yes").stderr
    assert names(engine) == "None"


WRONG = [
    ("0 2 * * *", "0 25 * * *", "schedules.yaml:5: /schedules/0/trigger/cron: The field for the hour"),
    ('"0 2 * * *"', "*/5 * * * *", "stands in quotation marks"),
    ("Europe/Budapest", "Europe/Atlantis", ":5: /schedules/0/trigger/timezone: "),
    ("name: often", "name: nightly", ":6: /schedules/1/name: Another schedule of this file"),
    ("overlap: skip", "overlaps: skip", ":11: /schedules/1/overlaps: There is no field"),
    ("a@example.org", "nobody", ":9: /schedules/1/task/params/to_email: "),
    ("diagnostics.echo", "diagnostics.ecco", ":4: /schedules/0/task/name: There is no task type"),
    ("    overlap: skip", "   overlap: skip", ":11: is not YAML: "),
    ("schedules:", "schedule:", "a list `schedules`"),
    ("source: billing", 'source: "a\\ud800"', ":1: /source: A lone surrogate"),
    ("source: billing", 'source: "a\\0b"', ":1: /source: The NUL character"),
    ("source: billing", 'source: "a\\nb"', ":1: /source: "),
    ("source: billing", "source: 7", ":1: /source: "),
    ("value: 1", 'value: "\\ud800"', ":4: /schedules/0/task/params/value: A lone surrogate"),
    ("value: 1", '"\\ud800": 1', ":4: /schedules/0/task/params: A lone surrogate"),
    ("value: 1", "value: 1e999", ":4: /schedules/0/task/params/value: The number is not finite"),
]


def test_what_is_wrong_in_a_file_is_told_by_line_and_nothing_is_done(
    apply: Callable[..., Result], engine: Engine
) -> None:
    for before, after, told in WRONG:
        assert before in FILE
        refused = apply(FILE.replace(before, after), "--yes")
        assert refused.exit_code == 2, refused.output
        assert told in refused.stderr
    assert names(engine) == "None"


def test_a_file_may_be_json_and_may_not_be_hostile(apply: Callable[..., Result], engine: Engine) -> None:
    entry = {"name": "a", "task": {"name": "diagnostics.echo", "params": {"value": 1}}, "trigger": {"every_seconds": 9}}
    assert apply(json.dumps({"schedules": [entry]}), "--yes", name="s.json").exit_code == 0
    assert scalar(engine, "SELECT source FROM schedule") == "file:s.json"
    assert ":1: is not JSON" in apply("{", name="s.json").stderr
    assert "nested too deeply" in apply("[" * 100_000).stderr
    assert "aliases" in apply("schedules: &a [*a, *a]").stderr
    assert "bytes" in apply("#" * 2_000_000).stderr
    nul = apply(json.dumps({"source": "a\0b", "schedules": []}), name="s.json")
    assert (nul.exit_code, "/source: The NUL character" in nul.stderr) == (2, True)


def test_schedules_are_listed_and_triggered_by_name_or_id(apply: Callable[..., Result], engine: Engine) -> None:
    apply(FILE, "--yes")
    listed = json.loads(schedules("list", "--json").stdout)["items"]
    assert [one["name"] for one in listed] == ["often", "nightly"]
    assert "s3cret" not in json.dumps(listed)
    assert "0 2 * * * Europe/Budapest" in schedules("list").stdout
    fire = json.loads(schedules("trigger", listed[0]["id"], "--json").stdout)
    assert str(scalar(engine, "SELECT id FROM task")) == fire["task_id"]
    twice = schedules("trigger", "often")
    assert (twice.exit_code, "has not ended" in twice.stderr) == (1, True)
    assert schedules("trigger", "nothing").exit_code == 1
    assert scalar(engine, "SELECT count(*) FROM outbox") == 0, "it was published"


def test_a_preview_needs_no_server() -> None:
    assert len(json.loads(schedules("preview", "0 9 * * 1-5", "--count", "7", "--json").stdout)["next_fires"]) == 7
    assert len(schedules("preview", "--every-seconds", "90").stdout.splitlines()) == 5
    assert "hour" in schedules("preview", "0 99 * * *").stderr
    assert schedules("preview").exit_code == 2
