"""The place of an error is that of the task's own code, and has no line numbers in it."""

import json
from typing import Any

from taskyard.running.places import place_of


def in_package(module: str, source: str, **names: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"__name__": module, **names}
    exec(source, made)
    return made


def raised(function: Any) -> BaseException:
    try:
        function()
    except BaseException as e:  # noqa: BLE001
        return e
    raise AssertionError


LIBRARY = in_package("httplibrary.transport", "def call():\n    raise OSError('refused')\n")


def test_libraries_and_the_standard_library_are_passed_over() -> None:
    task = in_package(
        "billing.invoices",
        "class Mailer:\n    def send(self):\n        call()\n\ndef run():\n    Mailer().send()\n",
        call=LIBRARY["call"],
    )
    worker = in_package("taskyard_worker.runner", "def run(f):\n    f()\n")
    error = _from(worker["run"], task["run"])
    assert place_of(error) == "billing.invoices:Mailer.send"
    task = in_package("billing.files", "def read():\n    loads('{')\n", loads=json.loads)
    assert place_of(_from(worker["run"], task["read"])) == "billing.files:read"


def _from(run: Any, function: Any) -> BaseException:
    """Without the frames of this test before those of the worker."""
    error = raised(lambda: run(function))
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals["__name__"] == __name__:
        trace = trace.tb_next
    return error.with_traceback(trace)


def test_an_error_of_the_platform_itself_has_no_place() -> None:
    platform = in_package("taskyard.running.context", "def stop():\n    raise ValueError\n")
    assert place_of(_of(platform["stop"])) is None
    assert place_of(ValueError()) is None, "never raised"


def _of(function: Any) -> BaseException:
    error = raised(function)
    assert error.__traceback__ is not None
    return error.with_traceback(error.__traceback__.tb_next)
