"""Parameters on their way into the ledger: checked, completed with defaults, secrets encrypted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel

from ..catalogue.compiled import CompiledSpec
from ..catalogue.defaults import TooMuchAdded
from ..catalogue.effort import before_explaining, take_check
from ..catalogue.secrets import Cipher, reserved_place, sealed_at
from ..catalogue.sizes import Size, size_of, values_in
from ..domain.faults import Fault
from ..domain.messages import message
from ..domain.references import marked, replaced
from ..lifecycle.batch import Unstorable, check_storable
from .plain import Place, Plain, TooMany
from .taken import faults_around

MAX_PARAMS_BYTES = 256 * 1024
PARAMS_TOO_LARGE = "params_too_large"
TOO_LARGE = message(
    "All parameters together may be {limit} bytes of JSON at most, whatever each of them may be;"
    " more belongs in a file.",
    limit=MAX_PARAMS_BYTES,
)
_TOO_MUCH_TOGETHER = message("The tasks of this request take too long to check together: send them in parts.")
_RESERVED = message("`$secret` is a name of the platform's own: send the secret itself.")


def accepted(
    params: Mapping[str, Any] | BaseModel,
    spec: CompiledSpec,
    cipher: Cipher,
    place: str,
    *,
    parsed: bool,
    size: Size | None,
    takes_results: bool = False,
) -> dict[str, Any] | list[Fault]:
    """The parameters as they are stored, or what is wrong with them; `place` is the pointer to them. `takes_results`:
    references to results may stand in them, and stay there; what they lead to is looked at by others.

    Values stay as they are given, apart from defaults that are filled in and secrets that are sealed; the worker's
    model normalises. 1.0 is a whole number; "1" and true are no numbers. `parsed`: they come out of a checked JSON
    body; otherwise they may hold what `plain.Plain` takes. `size`: they are known to be no larger.
    Raises SecretsUnreadable where there is a secret and no key.
    """
    plain: Any = params
    secret_places: list[Place] = []
    if not parsed:
        try:
            read = Plain(params)
            plain, secret_places = read.value, read.secrets
            check_storable(plain)
        except Unstorable as e:
            return [Fault(place + e.pointer, e.sentence)]
        except TooMany:
            return [Fault(place, TOO_LARGE, PARAMS_TOO_LARGE)]
    if size is None or size.bytes > MAX_PARAMS_BYTES or not size.fits(spec.params.most):
        too_large = _too_large(plain, spec.params.most, place)
        if too_large is not None:
            return [too_large]
    if not parsed and read.has_decimals:
        plain = _with_numbers(read, spec)
    taken = [*marked(plain)] if takes_results else []
    faults = faults_around(taken, plain, spec, place) if taken else spec.params.faults(plain, place)
    if faults:
        return faults
    reserved = reserved_place(plain)
    if reserved is not None:
        return [Fault(place + reserved, _RESERVED)]
    try:
        made = _filled(plain, spec, taken)
    except TooMuchAdded:
        return [Fault(place, TOO_LARGE, PARAMS_TOO_LARGE)]
    if not spec.secrets.is_empty:
        made = spec.secrets.sealed(made, cipher.seal)
    return sealed_at(made, secret_places, cipher.seal) if secret_places else made


def _filled(plain: Any, spec: CompiledSpec, taken: Sequence[tuple[Place, Any]]) -> dict[str, Any]:
    """With the type's defaults. Raises TooMuchAdded."""
    made: dict[str, Any] = plain if spec.defaults.is_empty else spec.defaults.filled(plain)
    for at, reference in taken:  # defaults of the value that it stands for are no part of it
        made = replaced(made, at, reference)
    return made


def _too_large(plain: Any, most: Size, place: str) -> Fault | None:
    """Looked at before anything looks at the values, which takes time that depends on the type's schema."""
    text = orjson.dumps(plain)
    if len(text) > MAX_PARAMS_BYTES:
        return Fault(place, TOO_LARGE, PARAMS_TOO_LARGE)
    if len(text) > most.bytes:
        return Fault(
            place,
            message("Parameters of this type may be {limit} bytes at most: it has large patterns.", limit=most.bytes),
        )
    values = size_of(text).values
    if values > most.values and (values := values_in(plain)) > most.values:
        return Fault(
            place, message("Parameters of this type may have {limit} values and names at most.", limit=most.values)
        )
    if not take_check(max(len(text) / most.bytes, values / most.values)):
        before_explaining()
        return Fault(place, _TOO_MUCH_TOGETHER, PARAMS_TOO_LARGE)
    return None


def _with_numbers(read: Plain, spec: CompiledSpec) -> Any:
    """With numbers in place of those decimals that the schema does not take as text."""
    faults = spec.params.faults(read.value)
    if not faults:
        return read.value
    numbers = read.with_numbers({fault.pointer for fault in faults})
    return numbers if spec.params.is_valid(numbers) else read.value
