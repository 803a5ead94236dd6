"""Secret parameters: readable by the function only."""

import json
import logging

import pytest
from cryptography.fernet import Fernet
from pydantic import BaseModel

from taskyard.catalogue.secrets import MARK, Cipher, Secret, SecretsUnreadable, masked, revealed
from taskyard.catalogue.types import Params, Result, TaskType
from tests.support.admission import admitted, stored

PLAIN = "hunter2-Zürich"


class Login(BaseModel):
    password: Secret[str]


class SecretParams(Params):
    user: str
    token: Secret[str]
    codes: tuple[Secret[int], ...] = ()
    login: Login | None = None
    spare: Secret[str] | None = None


class Nothing(Result):
    pass


TYPE = TaskType(name="test.secret", description="", params=SecretParams, result=Nothing)
GIVEN = {"user": "eva", "token": PLAIN, "codes": [123454321], "login": {"password": PLAIN + "2"}}


def key() -> str:
    return Fernet.generate_key().decode()


def test_nothing_that_shows_a_secret_shows_its_text(caplog: pytest.LogCaptureFixture) -> None:
    params = SecretParams.model_validate(GIVEN)
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("params %s %r", params.token, params)
    shown = [repr(params), str(params), params.model_dump_json(), f"{params.token}", caplog.text,
             repr(params.model_dump()), json.dumps(params.model_dump(mode="json"))]  # fmt: skip
    for text in shown:
        assert "***" in text
        assert "hunter2" not in text
        assert "123454321" not in text
    assert params.token.reveal() == PLAIN


def test_the_stored_parameters_hold_no_plain_text_and_are_read_back() -> None:
    cipher = Cipher([key()])
    kept = stored(TYPE, GIVEN, cipher)
    text = json.dumps(kept, ensure_ascii=False)
    assert "hunter2" not in text
    assert "Zürich" not in text
    assert "123454321" not in text
    assert kept["user"] == "eva"
    assert kept["token"].keys() == {MARK}
    read = TYPE.read(json.loads(text), cipher)
    assert read.token.reveal() == PLAIN
    assert read.codes[0].reveal() == 123454321
    assert read.login is not None
    assert read.login.password.reveal() == PLAIN + "2"
    assert read.spare is None


def test_people_see_stars_in_stored_parameters() -> None:
    kept = stored(TYPE, {**GIVEN, "spare": None}, Cipher([key()]))
    assert masked(kept) == {
        "user": "eva",
        "token": "***",
        "codes": ["***"],
        "login": {"password": "***"},
        "spare": None,
    }


def test_two_tasks_with_the_same_secret_are_not_seen_to_have_it() -> None:
    cipher = Cipher([key()])
    assert stored(TYPE, GIVEN, cipher)["token"] != stored(TYPE, GIVEN, cipher)["token"]


def test_keys_rotate_without_losing_what_waits() -> None:
    old, new = key(), key()
    kept = stored(TYPE, GIVEN, Cipher([old]))
    assert TYPE.read(kept, Cipher([new, old])).token.reveal() == PLAIN
    newer = stored(TYPE, GIVEN, Cipher([new, old]))
    assert TYPE.read(newer, Cipher([new])).token.reveal() == PLAIN
    with pytest.raises(SecretsUnreadable):
        TYPE.read(newer, Cipher([old]))


def test_without_a_key_a_secret_is_refused_and_never_stored_as_it_is() -> None:
    with pytest.raises(SecretsUnreadable, match="TASKYARD_SECRET_KEYS"):
        stored(TYPE, GIVEN, Cipher([]))
    with pytest.raises(SecretsUnreadable, match="TASKYARD_SECRET_KEYS"):
        Cipher(["not a key"])


def test_an_altered_secret_is_not_read() -> None:
    cipher = Cipher([key()])
    kept = stored(TYPE, GIVEN, cipher)
    kept["token"][MARK] = kept["token"][MARK][:-6] + "AAAAAA"
    with pytest.raises(SecretsUnreadable):
        TYPE.read(kept, cipher)


def test_a_wrong_secret_is_refused_without_being_repeated() -> None:
    faults = admitted(TYPE, {"user": "eva", "token": ["hunter2"]}, Cipher([key()]))
    assert isinstance(faults, list)
    assert "hunter2" not in str(faults)
    assert [fault.pointer for fault in faults] == ["/params/token"]


def test_every_secret_text_is_known_to_be_struck_out() -> None:
    params = SecretParams.model_validate(GIVEN)
    assert set(revealed(params)) == {PLAIN, PLAIN + "2", "123454321"}


def test_the_schema_says_that_it_is_written_only() -> None:
    assert SecretParams.model_json_schema()["properties"]["token"] == {
        "type": "string",
        "format": "password",
        "writeOnly": True,
        "title": "Token",
    }
