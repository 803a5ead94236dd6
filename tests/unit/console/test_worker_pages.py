"""The pages of workers: who lives, what ended there, and what the API does not tell."""

from __future__ import annotations

import re

import pytest

from tests.unit.console.fleet_api import WORKER, signed_in


def test_workers_that_live_and_those_that_went_are_two_lists() -> None:
    browser, _ = signed_in()
    living, gone = browser.get("/workers").text.split('id="gone-title"')
    assert "alive-1" in living
    assert "gone-1" not in living
    assert "gone-1" in gone


def test_a_worker_tells_what_ended_there_what_it_runs_and_the_load_of_its_host() -> None:
    browser, _ = signed_in()
    text = browser.get(f"/workers/{WORKER['id']}").text
    assert "<dt>Succeeded</dt><dd>1,200</dd>" in text
    assert "<dt>Tried again</dt><dd>5</dd>" in text
    assert '<a href="/task-types/mail.send">mail.send</a>, <a href="/task-types/a%20b">a b</a>' in text
    assert "0.5, 0.25, 1.12 over 1, 5 and 15 minutes" in text
    assert f'href="/tasks?worker_id={WORKER["id"]}"' in text
    row = " ".join(browser.get("/workers").text.split())
    assert '1,208 <small class="line">3 failed</small> <small class="line">5 tried again</small>' in row


def test_tasks_are_listed_by_the_worker_that_runs_them() -> None:
    browser, api = signed_in()
    assert f'value="{WORKER["id"]}"' in browser.get(f"/tasks?worker_id={WORKER['id']}").text
    (asked,) = [dict(call.url.params) for call in api.calls if call.url.path == "/api/v1/tasks"]
    assert asked["worker_id"] == WORKER["id"]


@pytest.mark.parametrize("left_out", ["index", "state", "pid", "memory_bytes", "runs", "running"])
def test_what_is_not_told_of_a_process_leaves_the_rest_of_the_page_standing(left_out: str) -> None:
    browser, api = signed_in()
    child = {"index": 1, "state": "running", "pid": 4321, "memory_bytes": 5 * 1024**2, "runs": 17, "running": []}
    del child[left_out]
    api.worker = {**WORKER, "children": [child, {}]}
    page = browser.get(f"/workers/{WORKER['id']}")
    assert page.status_code == 200
    shown = {"index": ">1<", "state": ">running<", "pid": ">4321<", "memory_bytes": ">5 MiB<", "runs": ">17<"}
    (rows,) = re.findall(r'id="children".*?<tbody>(.*?)</tbody>', page.text, re.DOTALL)
    assert {name for name, text in shown.items() if text not in rows} == {left_out} - {"running"}
