"""Named formats: bounded by length before anything else, told in their own words, never quoting the text."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from taskyard.catalogue.addresses import checked_address
from taskyard.catalogue.formats import FORMATS, EmailAddress, OneLine, PatternText
from taskyard.catalogue.generate import SpecSchema
from taskyard.catalogue.schemas import compile_schema

GOOD = {
    "email": "eva@example.org", "idn-email": "eva@exämple.org", "line": "a b", "re2": "^a",
    "uuid": "0193AAAA-0000-7000-8000-000000000000", "date-time": "2026-01-31t12:00:00.123456789+01:00",
    "date": "2026-01-31", "time": "12:00:00Z", "duration": "-P1DT2H", "uri": "mailto:a@example.org",
    "http-url": "http://example.org", "decimal": "-12.50", "ipv4": "10.0.0.1", "ipv6": "::1", "ipvanyaddress": "::1",
    "ipv4network": "10.0.0.0/8", "ipv6network": "::/8", "ipvanynetwork": "10.0.0.0/8", "ipv4interface": "10.0.0.1/8",
    "ipv6interface": "::1/8", "ipvanyinterface": "::1/8",
    **{f"uuid{n}": f"0193aaaa-0000-{n}000-8000-000000000000" for n in range(1, 9)},
}  # fmt: skip


BAD = {"line": ["", " ", "a\nb", "a\x7f"], "re2": ["(", r"(a)\1", "(?=a)"]}
# A line feed at the end belongs to a pattern.
WITH_LINES = {"re2"}


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_takes_its_example_and_refuses_another_text(name: str) -> None:
    schema = compile_schema({"type": "string", "format": name})
    assert schema.faults(GOOD[name]) == []
    others = BAD.get(
        name, ["", "(", " ", "\x00", "\uff11\uff12", GOOD[name].replace(".", "").replace(":", "").replace("-", "_")]
    )
    for bad in others if name in WITH_LINES else [*others, GOOD[name] + "\n"]:
        faults = schema.faults(bad)
        assert len(faults) == 1, repr(bad)
        assert faults[0].message.endswith(".")


@pytest.mark.parametrize("name", FORMATS)
def test_the_length_is_looked_at_before_the_check_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = FORMATS[name]
    called: list[int] = []
    bounded = replace(known, check=lambda text: called.append(len(text)))
    most_bytes = known.max_bytes or known.max_length
    assert bounded.fault("x" * (known.max_length + 1)) == f"Must have at most {known.max_length} characters."
    assert bounded.fault("中" * known.max_length) in {
        f"Must have at most {most_bytes} bytes.",
        *([None] if known.max_bytes else ()),
    }
    assert max([0, *called]) * 3 <= most_bytes
    assert bounded.fits("x" * known.max_length)
    assert known.max_length <= 10_000


def test_a_refused_pattern_is_told_without_being_quoted() -> None:
    fault = FORMATS["re2"].fault("hunter2(")
    assert fault is not None
    assert "hunter2" not in fault
    assert "missing )" in fault


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (EmailAddress, {"type": "string", "format": "email", "maxLength": 320}),
        (OneLine, {"type": "string", "format": "line"}),
        (Annotated[OneLine, Field(min_length=1, max_length=5)],
         {"type": "string", "format": "line", "minLength": 1, "maxLength": 5}),
        (PatternText, {"type": "string", "format": "re2", "minLength": 1, "maxLength": 300}),
    ],
)  # fmt: skip
def test_the_types_of_models_carry_their_format_in_the_schema(kind: Any, schema: dict[str, Any]) -> None:
    assert TypeAdapter(kind).json_schema() == schema
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python("a\n(")


def test_an_address_is_normalised_by_the_model_and_not_by_admission() -> None:
    assert TypeAdapter(EmailAddress).validate_python("eva@EXÄMPLE.org") == "eva@xn--exmple-cua.org"


def test_text_that_is_checked_in_jsonschema_rs_is_never_given_to_it_as_another_type() -> None:
    assert compile_schema({"format": "email"}).faults(5) == [], "a format says nothing about numbers"


def test_urls_tell_their_schemes() -> None:
    from pydantic import FtpUrl

    class Links(BaseModel):
        link: FtpUrl

    schema = compile_schema(Links.model_json_schema(schema_generator=SpecSchema))
    assert schema.faults({"link": "ftp://example.org/a"}) == []
    assert [fault.pointer for fault in schema.faults({"link": "http://example.org"})] == ["/link"]


def seconds(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return time.thread_time() - began


def different_letters(count: int) -> str:
    return "".join(chr(0x4E00 + 7 * n) for n in range(count))


@pytest.mark.parametrize("text", [f"a@{different_letters(310)}.com", f"a@{different_letters(80)}.com", "é" * 320])
def test_an_address_beyond_ascii_costs_no_more_than_one_of_ascii_of_the_same_length(text: str) -> None:
    plain = "a@" + "a" * (len(text) - 6) + ".com"
    usual = min(seconds(lambda: [FORMATS["email"].fits(plain) for _ in range(200)]) for _ in range(3))
    assert min(seconds(lambda: [FORMATS["email"].fits(text) for _ in range(200)]) for _ in range(3)) < 50 * usual


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("eva@EXÄMPLE.org", "eva@xn--exmple-cua.org"),
        ("eva@straße.de", "eva@xn--strae-oqa.de"),
        ("eva@日本語。jp", "eva@xn--wgv71a119e.jp"),
        ("eva@e\u0301.com", "eva@xn--9ca.com"),
    ],
)
def test_domains_are_written_in_ascii_as_browsers_do(text: str, address: str) -> None:
    assert checked_address(text) == address


@pytest.mark.parametrize(
    "domain",
    [
        *("é/b.c", "é?b.c", "é#b.c", "é@b.c", "é:80.c", "é%41.com", "é\tb.c", "é b.c", "[é].c", "é\\b.c", "é.0x7f"),
        *("\uff11\uff12.\uff13", "a..é.com", "é.com.", "é" * 64 + ".com", "\u200dé.com", "é_b.com", "é\ud800.com"),
    ],
)
def test_what_a_url_would_read_as_something_else_is_no_domain(domain: str) -> None:
    with pytest.raises(ValueError, match="Not a mail address"):
        checked_address(f"eva@{domain}")
