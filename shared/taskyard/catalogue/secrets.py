"""Secret parameters: encrypted at rest, decrypted only for the function, `***` everywhere else.

A parameters model declares `token: Secret[str]`. In the ledger its value is `{"$secret": "<Fernet
token>"}`. Keys come from `TASKYARD_SECRET_KEYS`: the first one encrypts, all of them decrypt, so a key is
rotated by putting the new one in front (cryptography's MultiFernet).
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson
import pydantic
from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, SecretBytes, SecretStr
from pydantic_core import CoreSchema, core_schema, to_jsonable_python

from ..domain.failures import PHRASES
from ..domain.pointers import escaped
from ..domain.secret_keys import FORM

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

MASK = "***"
MARK = "$secret"
_MARK_IN_JSON = orjson.dumps(MARK)
# `dict | list` would be put together anew at each call, and every submit passes here.
_NESTED = (dict, list, tuple)
_JSON = (*_NESTED, str, int, float, bool, type(None))

T = TypeVar("T")


class SecretsUnreadable(Exception):
    """There is no key, or no key decrypts the value. `phrase` names the reason among the platform's phrases."""

    def __init__(self, message: str, *, phrase: str | None = None) -> None:
        super().__init__(message)
        self.phrase = phrase

    @classmethod
    def because(cls, phrase: str) -> SecretsUnreadable:
        return cls(PHRASES[phrase], phrase=phrase)


class Cipher:
    """Encrypts with the first key, decrypts with any of them. Without keys, it does neither."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet: MultiFernet | None = None
        if not keys:
            return
        # Imported late: declaring task types, and submits of applications, need no cipher.
        from cryptography.fernet import Fernet, MultiFernet

        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except (ValueError, TypeError):
            raise SecretsUnreadable(f"TASKYARD_SECRET_KEYS: {FORM}") from None

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
            raise SecretsUnreadable.because("secret_keys_unset")
        try:
            return orjson.loads(self._fernet.decrypt(str(sealed[MARK]).encode()))
        except InvalidToken:
            raise SecretsUnreadable.because("secret_keys_wrong") from None


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


def has_mark(text: bytes) -> bool:
    """Whether JSON that orjson or PostgreSQL has written may hold something sealed. Nearly none does, and C finds that
    out a hundred times sooner than a walk through the values."""
    return _MARK_IN_JSON in text


def masked(value: Any) -> Any:
    """A copy of a stored JSON value with its secrets shown as `***`."""
    if is_sealed(value):
        return MASK
    if isinstance(value, dict):
        return {key: masked(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return value


def reserved_place(value: Any) -> str | None:
    """The pointer of the first `{"$secret": ...}` in a JSON value; None without any. Only the platform writes these."""
    return _reserved_place(value) if has_mark(orjson.dumps(value)) else None


def _reserved_place(value: Any) -> str | None:
    if is_sealed(value):
        return ""
    if isinstance(value, dict):
        inside: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list | tuple):
        inside = enumerate(value)
    else:
        return None
    for key, inner in inside:
        if isinstance(inner, _NESTED) and (found := _reserved_place(inner)) is not None:
            return f"/{escaped(key)}{found}"
    return None


def opened(value: Any, cipher: Cipher) -> tuple[Any, list[str]]:
    """A stored JSON value with everything sealed in it opened, and the texts to remove from logs and errors.

    Raises SecretsUnreadable.
    """
    texts: list[str] = []
    return _opened(value, cipher, texts), texts


# No function inside of `opened`: one that calls itself is a cycle, which only the garbage collector ends.
def _opened(inner: Any, cipher: Cipher, texts: list[str]) -> Any:
    if is_sealed(inner):
        plain = cipher.open(inner)
        texts.extend(texts_of(Secret(plain)))
        return plain
    if isinstance(inner, dict):
        return {key: _opened(part, cipher, texts) for key, part in inner.items()}
    if isinstance(inner, list):
        return [_opened(part, cipher, texts) for part in inner]
    return inner


def sealed_at(value: Any, places: Iterable[Sequence[str | int]], seal: Callable[[Any], Any]) -> Any:
    """The value sealed at these places, unless it is sealed there, or above, or null."""
    for place in places:
        value = _sealed_at(value, place, seal)
    return value


def _sealed_at(value: Any, place: Sequence[str | int], seal: Callable[[Any], Any]) -> Any:
    if value is None or is_sealed(value):
        return value
    if not place:
        return seal(value)
    made = value.copy()
    made[place[0]] = _sealed_at(made[place[0]], place[1:], seal)
    return made


# Of most parameters, and no secrets.
_PLAIN = frozenset({str, int, float, bool, type(None)})


def revealed(model: BaseModel) -> Iterator[str]:
    """The secret texts in a parameters model, to be removed from logs and errors: also those that only the model makes
    secret."""
    values = vars(model)
    for name in type(model).model_fields:
        if type(value := values.get(name)) not in _PLAIN:
            yield from texts_of(value)
    if model.model_extra:
        yield from texts_of(model.model_extra)


def texts_of(value: Any) -> Iterator[str]:
    """The secret texts in a model, a dataclass, a container, or a secret."""
    match value:
        case Secret():
            yield from _parts(value.reveal())
        case SecretStr() | SecretBytes() | pydantic.Secret():
            yield from _parts(value.get_secret_value())
        case BaseModel():
            yield from revealed(value)
        case Mapping():
            for inner in value.values():
                yield from texts_of(inner)
        case list() | tuple() | set() | frozenset() | deque():
            for inner in value:
                yield from texts_of(inner)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            for field in dataclasses.fields(value):
                yield from texts_of(getattr(value, field.name))


def _parts(plain: Any) -> Iterator[str]:
    """A secret value as text: a structure as a whole and part by part."""
    match plain:
        case str():
            yield plain
            return
        case bytes():
            yield plain.decode(errors="replace")
            return
        case BaseModel():
            yield from revealed(plain)
            plain = plain.model_dump(mode="json", warnings=False, fallback=str)
        case _ if not isinstance(plain, _JSON):  # a date, a decimal: as it is printed, and as JSON has it
            yield str(plain)
            plain = to_jsonable_python(plain, fallback=str)
            if isinstance(plain, str):
                yield plain
                return
    yield orjson.dumps(plain, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    if isinstance(plain, _NESTED):
        for inner in plain.values() if isinstance(plain, dict) else plain:
            if inner is not None and not isinstance(inner, bool):
                yield from _parts(inner)
