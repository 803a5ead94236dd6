"""Secret parameters: encrypted at rest, decrypted only for the function, `***` everywhere else.

A parameters model declares `token: Secret[str]`. In the ledger its value is `{"$secret": "<Fernet
token>"}`. Keys come from `TASKYARD_SECRET_KEYS`: the first one encrypts, all of them decrypt, so a key is
rotated by putting the new one in front (cryptography's MultiFernet).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

MASK = "***"
MARK = "$secret"

T = TypeVar("T")


class SecretsUnreadable(Exception):
    """There is no key, or no key decrypts the value."""


class Cipher:
    """Encrypts with the first key, decrypts with any of them. Without keys, it does neither."""

    def __init__(self, keys: Sequence[str]) -> None:
        # Imported late: a supervisor loads the task types, too, and never decrypts a secret.
        from cryptography.fernet import Fernet, MultiFernet

        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None
        except (ValueError, TypeError):
            raise SecretsUnreadable(
                "TASKYARD_SECRET_KEYS: each key must be 32 url-safe base64-encoded bytes "
                "(make one with: python -c "
                "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())')"
            ) from None

    @property
    def has_keys(self) -> bool:
        return self._fernet is not None

    def seal(self, value: Any) -> dict[str, str]:
        if self._fernet is None:
            raise SecretsUnreadable("TASKYARD_SECRET_KEYS is not set: secret parameters cannot be stored")
        return {MARK: self._fernet.encrypt(orjson.dumps(value)).decode()}

    def open(self, sealed: dict[str, Any]) -> Any:
        from cryptography.fernet import InvalidToken

        if self._fernet is None:
            raise SecretsUnreadable("TASKYARD_SECRET_KEYS is not set: secret parameters cannot be read")
        try:
            return orjson.loads(self._fernet.decrypt(str(sealed[MARK]).encode()))
        except InvalidToken:
            raise SecretsUnreadable("none of TASKYARD_SECRET_KEYS opens a secret parameter") from None


class Secret(Generic[T]):
    """A value that prints and serialises as `***`; a task calls `reveal()`."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler.generate_schema(getattr(source, "__args__", (Any,))[0])

        def opened(value: Any, info: core_schema.ValidationInfo) -> Any:
            cipher = (info.context or {}).get("cipher")
            if cipher is not None and is_sealed(value):
                return cipher.open(value)
            return value.reveal() if isinstance(value, Secret) else value

        def sealed(value: Secret[Any], info: core_schema.SerializationInfo) -> Any:
            if not info.mode_is_json():
                return value  # in Python mode it stays a Secret, which prints as ***
            cipher = (info.context or {}).get("cipher")
            return MASK if cipher is None else cipher.seal(value.reveal())

        schema = core_schema.with_info_before_validator_function(opened, inner)
        return core_schema.no_info_after_validator_function(
            cls,
            schema,
            serialization=core_schema.plain_serializer_function_ser_schema(sealed, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        made = handler(schema)
        made.update(writeOnly=True, format="password")
        return made


def is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {MARK}


def masked(value: Any) -> Any:
    """A stored JSON value with its secrets shown as `***`."""
    if is_sealed(value):
        return MASK
    if isinstance(value, dict):
        return {key: masked(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return value


def revealed(model: BaseModel) -> Iterator[str]:
    """The secret texts in a parameters model, to be removed from logs and errors."""
    for name in type(model).model_fields:
        yield from _texts(getattr(model, name))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case Secret():
            inner = value.reveal()
            yield inner if isinstance(inner, str) else orjson.dumps(inner, default=str).decode()
        case BaseModel():
            yield from revealed(value)
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list() | tuple() | set():
            for inner in value:
                yield from _texts(inner)
