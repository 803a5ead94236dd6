"""Admission and the worker's model agree: admission decides as marked, and what it accepts the model reads."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
import pytest
from cryptography.fernet import Fernet
from pydantic import AnyUrl, Field, HttpUrl, ValidationError

from taskyard.admission.parameters import accepted
from taskyard.catalogue.compiled import CompiledSpec, compile_spec
from taskyard.catalogue.formats import EmailAddress, OneLine, PatternText
from taskyard.catalogue.kits import load
from taskyard.catalogue.secrets import Cipher, Secret
from taskyard.catalogue.spec import spec_of
from taskyard.catalogue.types import Params, Result, TaskType
from taskyard.domain.faults import Fault
from taskyard.settings import Settings

CIPHER = Cipher([Fernet.generate_key().decode()])
ITEM = "0193aaaa-0000-7000-8000-000000000000"
PANEL: dict[str, Any] = {
    "selection_params": {"number_to_select": 20, "id_column": "id"},
    "feature_data": {"item_id": ITEM},
    "quota_data": {"item_id": ITEM},
}

IMPORT = {"item_id": ITEM, "collection": "people"}
SYNC = {"url": "https://example.org/items", "collection": "people"}


class Colour(Enum):
    RED = "red"


class Inner(Params):
    amount: Decimal = Decimal("1.5")
    password: Secret[str] | None = None


class EverythingParams(Params):
    """Types that people use in parameters."""

    day: date | None = None
    at: datetime | None = None
    clock: time | None = None
    span: timedelta | None = None
    bounded: Annotated[Decimal, Field(gt=0, max_digits=6, decimal_places=2)] = Decimal("0.5")
    digits: Annotated[Decimal, Field(ge=0, max_digits=3)] = Decimal(0)
    share: Annotated[Decimal, Field(ge=0, le=1)] = Decimal(0)
    plain: Decimal = Decimal(1)
    count: int = 1
    ratio: float = 0.5
    flag: bool = False
    colour: Colour = Colour.RED
    one: Literal[1, 2] = 1
    url: AnyUrl | None = None
    web: HttpUrl | None = None
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    net: ipaddress.IPv4Network | None = None
    tags: set[str] = Field(default_factory=set)
    pair: tuple[int, str] | None = None
    inner: Inner = Inner()
    by_name: dict[str, Inner] = Field(default={})
    many: list[Inner] = Field(default=[])
    either: int | str | list[float] = 0
    ids: list[UUID] = Field(default=[])
    to: EmailAddress | None = None
    line: OneLine = "a"
    pattern: PatternText | None = None
    token: Secret[str] = Secret("default")


class Nothing(Result):
    pass


EVERYTHING = TaskType(name="test.everything", description="", params=EverythingParams, result=Nothing)
TYPES = {task_type.name: task_type for task_type in (*load(Settings(diagnostics=True)).catalogue, EVERYTHING)}
SPECS = {name: compile_spec(spec_of(task_type)) for name, task_type in TYPES.items()}

MAIL = {"to_email": "eva@example.org", "subject": "Hello", "text": "Hello."}
WELCOME = {"to_email": "eva@example.org", "username": "Eva", "language": "de", "action_url": "https://example.org/"}
TOKEN = {"to_email": "eva@example.org", "username": "Eva", "token": "a1B2-c3_D4.e5~F6"}
TOKENS: tuple[list[Any], list[Any]] = (
    [TOKEN, {**TOKEN, "token": "1234"}, {**TOKEN, "language": "de-AT", "app_name": "x", "expires_in_minutes": 2},
     {**TOKEN, "action_url": "https://example.org/?a=1#b", "expires_in_minutes": 100_000},
     {**TOKEN, "action_url": None, "expires_in_minutes": None}],
    [{}, {**TOKEN, "token": "abc"}, {**TOKEN, "token": "a b c"}, {**TOKEN, "token": "x" * 501},
     {**TOKEN, "token": 123456}, {**TOKEN, "token": None}, {**TOKEN, "token": "abcd\n"}, {**TOKEN, "token": "täken"},
     {**TOKEN, "expires_in_minutes": 1}, {**TOKEN, "expires_in_minutes": 100_001}, {**TOKEN, "action_url": "ftp://a/"}],
)  # fmt: skip
NEWS = {"subject": "News", "text": "News.", "recipients": [{"to_email": "eva@example.org"}]}
LISTED = {name: value for name, value in NEWS.items() if name != "recipients"}
POINT = {"row": 0, "col": 1.5, "x": -2, "y": 1e300}
NOTE = {"channel": "email", "message": "Hello.", "to_email": "eva@example.org"}
PAYMENT = {"payment_id": "order-7", "amount": "12.50", "currency": "EUR", "payment_method": "pm_card_visa"}
REPORT = {"report_type": "tasks"}
ALL = {
    "day": "2026-01-31", "at": "2026-01-31T12:00:00.5+01:00", "clock": "12:00:00", "span": "PT1H30M", "bounded": 12.34,
    "plain": "12.50", "count": 3, "ratio": 1, "flag": True, "colour": "red", "one": 2, "url": "mailto:a@b.org",
    "web": "http://example.org", "ip": "::1", "net": "10.0.0.0/8", "tags": ["a"], "pair": [1, "a"],
    "inner": {"amount": 2, "password": "p"}, "by_name": {"x": {"amount": "3"}}, "many": [{}, {"password": None}],
    "either": [1.5], "ids": [ITEM], "to": "eva@exämple.org", "line": "a b", "pattern": "^a$", "token": "t",
}  # fmt: skip

VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "taskyard.echo": (
        [{}, {"value": ""}, {"value": "ü😀"}, {"value": "x" * 200}],
        [{"value": "x" * 201}, {"value": 1}, {"value": None}, {"more": 1}, [], None, {"value": "\x00"}],
    ),
    "diagnostics.echo": (
        [{"value": 1}, {"value": -0.0}, {"value": 1e308}, {"value": 2**64 - 1}, {"value": ""}, {"value": "ü😀"},
         {"value": "x" * 200_000}, {"value": None}, {"value": [[]]}, {"value": {"": {}}}, {"value": [0] * 60_000}],
        [{}, {"value": 1, "more": 1}, [], None, {"Value": 1}, {"value": {"$secret": "x"}},
         {"value": [[{"$secret": 1}]]}, {"value": "\ud800"}, {"value": "\x00"}, {"value": {"\x00": 1}},
         {"value": float("nan")}, {"value": 2**64}],
    ),
    "diagnostics.sleep": (
        [{"seconds": 0}, {"seconds": 0.5, "in_c": True}, {"seconds": 86_400}, {"seconds": -0.0}],
        [{}, {"seconds": "1"}, {"seconds": True}, {"seconds": -1e-9}, {"seconds": 1e308}, {"seconds": 1, "in_c": 1},
         {"seconds": None}, {"seconds": 1, "in_c": "true"}],
    ),
    "diagnostics.fail": (
        [{}, {"times": 0}, {"times": 1.0}, {"times": 1000, "kind": "permanent"}],
        [{"times": "1"}, {"times": True}, {"times": 1.5}, {"times": 1001}, {"times": -1}, {"kind": "odd"},
         {"kind": None}],
    ),
    "diagnostics.crash": (
        [{}, {"signal": "KILL"}, {"signal": "SIGKILL"}, {"signal": 9}, {"signal": 9.0}, {"signal": 15, "times": 3}],
        [{"signal": "INT"}, {"signal": "kill"}, {"signal": 2}, {"signal": True}, {"signal": None}, {"signal": "9"},
         {"signal": "SIGSIGKILL"}, {"signal": 9.5}, {"signal": []}, {"times": True}],
    ),
    "diagnostics.allocate": (
        [{"megabytes": 0}, {"megabytes": 1_048_576, "hold_seconds": 600}],
        [{}, {"megabytes": "1"}, {"megabytes": 1_048_577}, {"megabytes": 1, "hold_seconds": 601}],
    ),
    "email.send": (
        [MAIL, {**MAIL, "text": None, "html_content": "<p>a</p>"}, {**MAIL, "reply_to": None},
         {**MAIL, "to_email": "Ünal@exämple.org"}, {**MAIL, "subject": " a"},
         {**MAIL, "text": " ", "html_content": "a"},
         {**MAIL, "text": "x" * 200_000}, {**MAIL, "text": "\x0b a"}, {**MAIL, "reply_to": "EVA@EXAMPLE.ORG"}],
        [{**MAIL, "text": None}, {**MAIL, "text": " \n\t"}, {**MAIL, "text": ""}, {**MAIL, "text": "\x1c\x85"},
         {**MAIL, "text": "\u3000"}, {**MAIL, "text": "x" * 200_001}, {**MAIL, "text": 1},
         {**MAIL, "to_email": "eva"}, {**MAIL, "to_email": "a@b"}, {**MAIL, "to_email": "a\n@example.org"},
         {**MAIL, "to_email": "a@example.org\r\nBcc: b@example.org"}, {**MAIL, "to_email": "=?a?=@example.org"},
         {**MAIL, "to_email": "a" * 310 + "@example.org"}, {**MAIL, "to_email": None},
         {**MAIL, "to_email": ["a@b.org"]},
         {**MAIL, "subject": ""}, {**MAIL, "subject": " "}, {**MAIL, "subject": "a\nb"},
         {**MAIL, "subject": "a\u2028b"},
         {**MAIL, "subject": "x" * 501}, {**MAIL, "subject": 1}, {**MAIL, "to_mail": "a@example.org"}, {}],
    ),
    "webhooks.deliver": (
        [{"endpoint_id": ITEM, "url": "https://h/"}, {"endpoint_id": ITEM, "url": "", "payload": {"a": [{}]}},
         {"endpoint_id": ITEM, "url": "x", "payload": None, "progress_of": ITEM}],
        [{}, {"endpoint_id": "x", "url": "https://h/"}, {"endpoint_id": ITEM}, {"endpoint_id": ITEM, "url": "x" * 2049},
         {"endpoint_id": ITEM, "url": "x", "payload": []}, {"endpoint_id": ITEM, "url": "x", "more": 1}],
    ),
    "notifications.send": (
        [NOTE, {**NOTE, "webhook_endpoint_id": None}, {**NOTE, "message": "x" * 1_000}, {**NOTE, "subject": "Hi"},
         {"channel": "webhook", "message": "Hi", "webhook_endpoint_id": ITEM},
         {"channel": "webhook", "message": "Hi", "webhook_endpoint_id": ITEM, "to_email": None},
         {"message": "Hi", "to_email": "eva@example.org"}, {"message": "Hi", "user_id": 7},
         {"channel": "webhook", "message": "Hi", "user_id": 7}],
        [{}, {"message": "Hi"}, {"message": "Hi", "webhook_endpoint_id": ITEM}, {"message": "Hi", "user_id": 0},
         {**NOTE, "user_id": 7}, {"message": "Hi", "user_id": None}, {"message": "Hi", "user_id": "7"},
         {"channel": "webhook", "message": "Hi", "user_id": 7, "webhook_endpoint_id": ITEM},
         {**NOTE, "message": "x" * 1_001}, {**NOTE, "message": ""}, {**NOTE, "channel": "webhook"},
         {**NOTE, "channel": "fax"}, {**NOTE, "webhook_endpoint_id": ITEM}, {**NOTE, "to_email": None},
         {"channel": "webhook", "message": "Hi", "webhook_endpoint_id": None}, {**NOTE, "subject": "a\nb"},
         {"channel": "webhook", "message": "Hi"}, {"channel": "webhook", "message": "Hi", "webhook_endpoint_id": 1}],
    ),
    "email.send_welcome": (
        [WELCOME, {k: WELCOME[k] for k in ("to_email", "username")}, {**WELCOME, "action_url": None},
         {**WELCOME, "language": "zh-Hant_TW"}, {**WELCOME, "action_url": "HTTP://exämple.org/ü?a"}],
        [{**WELCOME, "language": "x"}, {**WELCOME, "language": "de\n"}, {**WELCOME, "language": "dé"},
         {**WELCOME, "action_url": "ftp://example.org"}, {**WELCOME, "action_url": "javascript:alert(1)"},
         {**WELCOME, "action_url": "http://"},
         {**WELCOME, "action_url": "http://a/?a b"}, {**WELCOME, "action_url": "/a"}, {**WELCOME, "action_url": ""},
         {**WELCOME, "action_url": "http://a/" + "x" * 2_100}, {**WELCOME, "username": "x" * 101},
         {**WELCOME, "app_name": None}, {**WELCOME, "username": "\x7f"}],
    ),
    "email.send_verification": TOKENS,
    "email.send_password_reset": TOKENS,
    "email.send_newsletter": (
        [NEWS, {**LISTED, "item_id": ITEM}, {**NEWS, "item_id": None}, {**LISTED, "item_id": ITEM, "recipients": None},
         {**NEWS, "recipients": [{"to_email": "a@b.org", "username": "A", "language": "hu",
                                  "unsubscribe_url": "https://example.org/leave"}]},
         {**NEWS, "html_content": "<p>News", "language": "fr", "app_name": "x", "reply_to": "a@b.org",
          "unsubscribe_url": "https://example.org/"}, {**NEWS, "text": "x" * 50_000}],
        [{}, LISTED, {**NEWS, "item_id": ITEM}, {**NEWS, "recipients": None}, {**NEWS, "recipients": []},
         {**NEWS, "recipients": ["a@b.org"]}, {**NEWS, "recipients": [{}]}, {**NEWS, "text": ""},
         {**NEWS, "recipients": [{"to_email": "a@b.org", "username": " "}]}, {**NEWS, "text": "x" * 50_001},
         {**NEWS, "recipients": [{"to_email": "a@b.org", "more": 1}]}, {**NEWS, "subject": "a\nb"},
         {**NEWS, "unsubscribe_url": "https://a/" + "x" * 900}, {**NEWS, "unsubscribe_url": "mailto:a@b.org"}],
    ),
    "files.process_large_file": (
        [{"item_id": ITEM}, {"item_id": ITEM.upper()}, {"item_id": ITEM, "pattern": r"^\S+ \d{3} \pL"},
         {"item_id": ITEM, "pattern": None}, {"item_id": ITEM, "pattern": "(a+)+$"}],
        [{}, {"item_id": 7}, {"item_id": ITEM.replace("-", "")}, {"item_id": f"{{{ITEM}}}"},
         {"item_id": f"urn:uuid:{ITEM}"},
         {"item_id": ITEM + "\n"}, {"item_id": ITEM, "pattern": ""}, {"item_id": ITEM, "pattern": "(?=a)"},
         {"item_id": ITEM, "pattern": r"(a)\1"}, {"item_id": ITEM, "pattern": "a(b"},
         {"item_id": ITEM, "pattern": "a" * 301}],
    ),
    "files.generate_thumbnail": (
        [{"item_id": ITEM}, {"item_id": ITEM, "width": 1, "height": 4096.0}],
        [{"item_id": ITEM, "width": "10"}, {"item_id": ITEM, "height": True}, {"item_id": ITEM, "width": 0},
         {"item_id": ITEM, "width": 4097}, {"item_id": ITEM, "width": 1e308}, {"item_id": None}],
    ),
    "geo.convert_to_raster": (
        [{"item_id": ITEM}, {"item_id": ITEM, "bounds": [1, 2.5, 3, 4], "crs": "EPSG:3857"},
         {"item_id": ITEM, "bounds": [4, 3, 2, 1e308], "control_points": None, "crs": "ESRI:54009"},
         {"item_id": ITEM, "bounds": None, "control_points": None, "crs": None},
         {"item_id": ITEM, "control_points": [POINT] * 3, "crs": "EPSG:4326"}],
        [{}, {"item_id": None}, {"item_id": ITEM, "bounds": [1, 2, 3, 4]}, {"item_id": ITEM, "crs": "EPSG:3857"},
         {"item_id": ITEM, "control_points": [POINT] * 3}, {"item_id": ITEM, "control_points": [], "crs": "EPSG:3857"},
         {"item_id": ITEM, "control_points": [POINT] * 2, "crs": "EPSG:3857"},
         {"item_id": ITEM, "control_points": [POINT] * 1001, "crs": "EPSG:3857"},
         {"item_id": ITEM, "control_points": [{**POINT, "z": 1}] * 3, "crs": "EPSG:3857"},
         {"item_id": ITEM, "control_points": [{**POINT, "x": "1"}] * 3, "crs": "EPSG:3857"},
         {"item_id": ITEM, "control_points": [POINT] * 3, "bounds": [1, 2, 3, 4], "crs": "EPSG:3857"},
         {"item_id": ITEM, "bounds": [1, 2, 3], "crs": "EPSG:3857"},
         {"item_id": ITEM, "bounds": [1, 2, 3, float("nan")], "crs": "EPSG:3857"},
         {"item_id": ITEM, "bounds": [1, 2, 3, 4], "crs": "/vsicurl/http://h/"},
         {"item_id": ITEM, "bounds": [1, 2, 3, 4], "crs": "EPSG:3857\n"}],
    ),
    **dict.fromkeys(
        ("users.update_stats", "users.create_profile"),
        (
            [{"user_id": 1}, {"user_id": 2**53 - 1}, {"user_id": 7.0}],
            [{}, {"user_id": 0}, {"user_id": -1}, {"user_id": 2**53}, {"user_id": "1"}, {"user_id": True},
             {"user_id": 1.5}, {"user_id": None}, {"user_id": 1, "more": 1}],
        ),
    ),
    "users.erase": (
        [{"user_id": 1}, {"user_id": 7, "dry_run": True}],
        [{}, {"user_id": 0}, {"user_id": "1"}, {"user_id": 1, "dry_run": "yes"}, {"user_id": 1, "more": 1}],
    ),
    "selection.run_select": (
        [PANEL, {**PANEL, "output": {"gsheet_id": "1aB-_"}},
         {**PANEL, "feature_data": {"rows": [{"id": 1, "a": None}]}},
         {**PANEL, "quota_data": {"gsheet_id": "1aB-_", "tab_name": "Targets"}},
         {**PANEL, "selection_params": {"number_to_select": 10_000, "id_column": "id", "random_seed": 2**31 - 1,
          "selection_algorithm": "nash", "columns_to_keep": [], "check_same_address_columns": ["a"],
          "max_seconds": 1}}],
        [{}, {**PANEL, "feature_data": {}}, {**PANEL, "feature_data": {"item_id": ITEM, "rows": [{"id": 1}]}},
         {**PANEL, "feature_data": {"rows": []}}, {**PANEL, "quota_data": {"gsheet_id": "1aB"}},
         {**PANEL, "quota_data": {"gsheet_id": "a/b", "tab_name": "x"}},
         {**PANEL, "feature_data": {"rows": [{"a": True}]}},
         {**PANEL, "selection_params": {"number_to_select": 0, "id_column": "id"}},
         {**PANEL, "selection_params": {"number_to_select": 1, "id_column": "id", "random_seed": 0}},
         {**PANEL, "selection_params": {"number_to_select": 1, "id_column": "id", "selection_algorithm": "dice"}},
         {**PANEL, "selection_params": {"number_to_select": 1, "id_column": "id", "solver_backend": "mip"}},
         {**PANEL, "selection_params": {"number_to_select": 1}}, {**PANEL, "more": 1}],
    ),
    "analytics.aggregate": (
        [{}, {"hours": 1}, {"hours": 168.0}],
        [{"hours": 0}, {"hours": 169}, {"hours": "1"}, {"hours": True}, {"hours": 1.5}, {"hours": None}, {"day": 1}],
    ),
    "reports.generate": (
        [REPORT, {**REPORT, "from": None},
         {**REPORT, "from": "2026-01-31T12:00:00Z", "to": "2026-02-01T12:00:00+01:00"},
         {**REPORT, "language": "de-AT", "timezone": "America/Argentina/Buenos_Aires"},
         {**REPORT, "timezone": "Etc/GMT+5"},
         {"report_type": "analytics", "to": "2026-02-01T12:00:00Z"}],
        [{}, {"report_type": "sales"}, {"report_type": None}, {**REPORT, "from": "2026-01-31"}, {**REPORT, "from": 5},
         {**REPORT, "to": "2026-01-31T12:00:00"}, {**REPORT, "start": "2026-01-31T12:00:00Z"},
         {**REPORT, "language": "x"},
         {**REPORT, "timezone": "../etc/passwd"}, {**REPORT, "timezone": "/etc"}, {**REPORT, "timezone": "Europe/"},
         {**REPORT, "timezone": "x" * 65}, {**REPORT, "timezone": "Europe/Wien\n"}, {**REPORT, "timezone": None}],
    ),
    "files.import_data": (
        [IMPORT, {**IMPORT, "format": "xlsx", "sheet": "Ő", "key_column": "id", "header": False, "max_invalid_rows": 0},
         {**IMPORT, "columns": {"a": "integer", "ő": "date"}, "delimiter": "\t"},
         {**IMPORT, "collection": "a" * 100}],
        [{}, {"item_id": ITEM}, {**IMPORT, "collection": ""}, {**IMPORT, "collection": "a" * 101},
         {**IMPORT, "collection": ".a"}, {**IMPORT, "collection": "a\n"}, {**IMPORT, "format": "xls"},
         {**IMPORT, "columns": {"a": "money"}}, {**IMPORT, "columns": {"": "text"}}, {**IMPORT, "sheet": "x" * 32},
         {**IMPORT, "columns": {"x" * 201: "text"}}, {**IMPORT, "columns": {f"{n}": "text" for n in range(1_001)}},
         {**IMPORT, "key_column": ""}, {**IMPORT, "delimiter": "x"}, {**IMPORT, "max_invalid_rows": -1},
         {**IMPORT, "max_invalid_rows": 1_000_001}],
    ),
    "files.convert_document": (
        [{"item_id": ITEM}, {"item_id": ITEM, "format": "docx", "paper": "us-letter", "language": "hu"}],
        [{}, {"item_id": ITEM, "format": "odt"}, {"item_id": ITEM, "paper": "A4"}, {"item_id": ITEM, "language": "es"}],
    ),
    "data.sync": (
        [SYNC, {**SYNC, "token": "a", "paging": "link", "page_size": 10_000, "full": True, "max_records": 1},
         {**SYNC, "items_field": "a.b.c.d.e", "key_field": "@id", "cursor_param": "page[after]"}],
        [{}, {"url": "https://example.org"}, {"collection": "a"}, {**SYNC, "url": "ftp://example.org"},
         {**SYNC, "url": "https://example.org/" + "x" * 1_500}, {**SYNC, "token": ""}, {**SYNC, "token": "a\nb"},
         {**SYNC, "token": "a b"}, {**SYNC, "token": "x" * 4_001}, {**SYNC, "items_field": "a."},
         {**SYNC, "items_field": "a.b.c.d.e.f"}, {**SYNC, "cursor_param": "a&b"}, {**SYNC, "paging": "offset"},
         {**SYNC, "page_size": 0}, {**SYNC, "page_size": 10_001}, {**SYNC, "max_records": 1_000_001}],
    ),
    "health.check": ([{}], [{"a": 1}, [], None, {"": None}]),
    "selection.load_gsheet": (
        [{"gsheet_id": "1Bxi-_M", "tab_name": "People's list"}],
        [{}, {"gsheet_id": "1Bxi"}, {"gsheet_id": "a/b", "tab_name": "P"}, {"gsheet_id": "", "tab_name": "P"},
         {"gsheet_id": "1Bxi", "tab_name": ""}, {"gsheet_id": "1Bxi", "tab_name": "a\nb"},
         {"gsheet_id": "1Bxi", "tab_name": "x" * 101}, {"gsheet_id": "..", "tab_name": "P"}],
    ),
    "selection.manage_old_tabs": (
        [{"gsheet_id": "1Bxi", "action": "list"}, {"gsheet_id": "1Bxi", "action": "delete", "dry_run": False},
         {"gsheet_id": "1Bxi", "action": "archive", "dry_run": True}],
        [{"gsheet_id": "1Bxi"}, {"gsheet_id": "1Bxi", "action": "Delete"}, {"action": "list"},
         {"gsheet_id": "1Bxi", "action": "list", "dry_run": "no"},
         {"gsheet_id": "1Bxi", "action": "list", "dry_run": None}],
    ),
    "maintenance.cleanup_expired_data": ([{}], [{"dry_run": True}, [], None]),
    "files.cleanup_temporary": (
        [{}, {"dry_run": True}, {"dry_run": False}],
        [{"dry_run": 1}, {"dry_run": None}, {"more": 1}, [], None],
    ),
    "files.cleanup_old": (
        [{}, {"dry_run": True}, {"max_age_days": None}, {"max_age_days": 90}, {"max_age_days": 0.5}],
        [{"max_age_days": 0}, {"max_age_days": "90"}, {"max_age_days": 36_501}, {"dry_run": 1}, {"dry_run": None},
         {"more": 1}],
    ),
    "maintenance.archive_tasks": ([{}, {"dry_run": True}], [{"dry_run": "true"}, {"dry_run": None}, {"days": 1}, []]),
    "maintenance.change_tasks": (
        [{"action": "cancel", "filter": {"queue": "default", "state": ["queued"]}},
         {"action": "retry", "filter": {"code": "boom", "created_after": "2026-01-31T00:00:00Z"}, "per_second": 0.5}],
        [{}, {"action": "purge", "filter": {}}, {"action": "cancel"}, {"action": "cancel", "filter": {"more": 1}},
         {"action": "cancel", "filter": {}, "per_second": 0}, {"action": "cancel", "filter": {"workflow_id": 7}}],
    ),
    "models.refresh_cache": ([{}], [{"a": 1}, [], None, {"": None}]),
    "payments.process": (
        [PAYMENT, {**PAYMENT, "amount": 12.5}, {**PAYMENT, "amount": 1250, "currency": "JPY"},
         {**PAYMENT, "amount": "0.001"}, {**PAYMENT, "amount": "999999999.999"}, {**PAYMENT, "customer": None},
         {**PAYMENT, "customer": "cus_9s6XKzkNRiz8i3", "description": "Two tickets"},
         {**PAYMENT, "payment_id": "é" * 200}],
        [{}, {**PAYMENT, "amount": 0}, {**PAYMENT, "amount": "0.00"}, {**PAYMENT, "amount": "-1"},
         {**PAYMENT, "amount": "12,50"}, {**PAYMENT, "amount": "1e2"}, {**PAYMENT, "amount": "1.2345"},
         {**PAYMENT, "amount": "9999999999.999"}, {**PAYMENT, "amount": True}, {**PAYMENT, "amount": "NaN"},
         {**PAYMENT, "currency": "eur"}, {**PAYMENT, "currency": "XTS"}, {**PAYMENT, "currency": 978},
         {**PAYMENT, "payment_method": "4242424242424242"}, {**PAYMENT, "payment_method": "pm_a\n"},
         {**PAYMENT, "customer": ""}, {**PAYMENT, "payment_id": "x" * 201}, {**PAYMENT, "description": "a\nb"}],
    ),
    "test.everything": (
        [{}, ALL, {"bounded": 9999.99}, {"bounded": 1}, {"bounded": "1.5"}, {"bounded": "+9999.99"},
         {"bounded": "0.01"}, {"digits": "1.2"}, {"digits": "123"}, {"digits": ".01"}, {"share": 0.5},
         {"plain": 1e300}, {"plain": ".5"}, {"count": 1e15},
         {"count": 2**63 - 1}, {"either": "a"}, {"inner": {}}, {"by_name": {"": {}}}],
        [{"day": "2026-02-30"}, {"day": "2026-01-31T00:00:00"}, {"at": "2026-01-31"}, {"at": "2026-01-31T12:00:00"},
         {"at": 1_800_000_000}, {"at": "2026-01-31T12:00:60Z"}, {"at": "0000-01-01T00:00:00Z"}, {"clock": "25:00:00"},
         {"span": "1 day"}, {"span": "P"}, {"span": "P99999999999D"}, {"span": 5}, {"bounded": 0}, {"bounded": 12.345},
         {"bounded": 10_000}, {"bounded": "0.00"}, {"bounded": "1.234"}, {"bounded": "10000"}, {"bounded": "-1"},
         {"bounded": "1e2"}, {"bounded": "\u0661"}, {"bounded": -1}, {"digits": "1.25"}, {"digits": "-12"},
         {"digits": "1234"}, {"share": 1.5}, {"share": "0.5"}, {"plain": "NaN"}, {"plain": "1e400"}, {"plain": "x"},
         {"count": 1e308}, {"count": 2.0**63}, {"ratio": "1"}, {"ratio": True}, {"flag": 1}, {"flag": "yes"},
         {"colour": "blue"}, {"one": 3}, {"one": True}, {"url": "no url"}, {"web": "mailto:a@b.org"}, {"ip": "1.2.3"},
         {"net": "10.0.0.1/8"}, {"tags": ["a", "a"]}, {"pair": [1]}, {"pair": [1, "a", 2]}, {"inner": {"amount": []}},
         {"inner": {"more": 1}}, {"by_name": {"x": 1}}, {"many": [{"amount": "x"}]}, {"either": {}}, {"either": ["1"]},
         {"ids": [1]}, {"to": "x"}, {"line": ""}, {"pattern": "("}, {"token": 5}, {"token": None},
         {"token": {"$secret": "x"}}, {"inner": {"password": {"$secret": "x"}}}],
    ),
}  # fmt: skip

NO_JSON = object()
# Of any type, in place of any value.
ODD: list[Any] = [
    None, True, False, 0, -0.0, 1, -1, 1.0, 0.5, 1e308, -1e308, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), "", " ", "1",
    "a", "ü", "😀", "\ufeff", "\u202e", "a\nb", "\x1f", "x" * 1_000, "\ud800", "\x00", "NaN", "null", [], [None], [[]],
    [1, "a"], [0] * 70_000, {}, {"": ""}, {"a": 1}, {"$secret": "x"}, {"$ref": "#"}, {"__class__": 1}, "{0.__class__}",
    float("inf"), NO_JSON, b"bytes", (1,), {1: 2},
]  # fmt: skip


def admitted(spec: CompiledSpec, params: Any) -> dict[str, Any] | list[Fault]:
    return accepted(params, spec, CIPHER, "/params", parsed=False, size=None)


def rows(which: int) -> Iterator[Any]:
    for name, table in VALUES.items():
        for n, params in enumerate(table[which]):
            yield pytest.param(name, params, id=f"{name}-{n}")


def read(name: str, stored: dict[str, Any]) -> Params:
    """As the worker does, after the trip through the ledger."""
    made: Params = TYPES[name].read(orjson.loads(orjson.dumps(stored)), CIPHER)
    return made


def test_every_type_has_its_table() -> None:
    assert VALUES.keys() == TYPES.keys()
    assert all(good and bad for good, bad in VALUES.values())


@pytest.mark.parametrize(("name", "params"), list(rows(0)))
def test_what_is_marked_as_accepted_is_admitted_and_read(name: str, params: Any) -> None:
    stored = admitted(SPECS[name], params)
    assert isinstance(stored, dict), stored
    made = read(name, stored)
    assert made == TYPES[name].params.model_validate(params), "defaults and secrets come out as the model has them"


@pytest.mark.parametrize(("name", "params"), list(rows(1)))
def test_what_is_marked_as_refused_has_a_fault_under_the_parameters(name: str, params: Any) -> None:
    faults = admitted(SPECS[name], params)
    assert isinstance(faults, list)
    assert faults
    assert all(fault.pointer.startswith("/params") and fault.message for fault in faults)


def mutated(value: Any) -> Iterator[Any]:
    """The value with each of its parts replaced, left out, or joined by another."""
    yield from ODD
    if isinstance(value, dict):
        yield {**value, "unheard_of": 1}
        for key, inner in value.items():
            yield {k: v for k, v in value.items() if k != key}
            for other in mutated(inner):
                yield {**value, key: other}
    elif isinstance(value, list):
        yield [*value, *value]
        for n, inner in enumerate(value):
            for other in mutated(inner):
                yield [*value[:n], other, *value[n + 1 :]]


@pytest.mark.parametrize("name", VALUES)
def test_whatever_is_admitted_of_odd_values_the_model_reads(name: str) -> None:
    admissions = refusals = 0
    largest = max(VALUES[name][0], key=len)
    # With itself: of a type whose only parameter is an id, no other value is admitted.
    for params in (largest, *mutated(largest)):
        before = copy.deepcopy(params, {id(NO_JSON): NO_JSON})
        stored = admitted(SPECS[name], params)
        assert str(params) == str(before), "the caller's values are not changed"
        if isinstance(stored, list):
            refusals += 1
            continue
        admissions += 1
        try:
            read(name, stored)
        except ValidationError as e:
            pytest.fail(f"admitted, and the model refuses it: {str(params)[:200]}: {e}")
    assert admissions
    assert refusals


def test_white_space_is_the_same_to_admission_and_to_the_model() -> None:
    for code in range(0x1, 0x3100):
        stored = admitted(SPECS["email.send"], {**MAIL, "text": chr(code)})
        if isinstance(stored, dict):
            read("email.send", stored)
