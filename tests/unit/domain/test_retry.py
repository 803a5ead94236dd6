"""RetryPolicy: an error and a count of failures become a delay, or the reason to give up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from taskyard.domain.errors import (
    LONGEST_DELAY,
    AuthenticationFailed,
    HardTimeLimitExceeded,
    InputUnusable,
    RateLimited,
    Retry,
    SoftTimeLimitExceeded,
    TaskCancelled,
    TaskError,
    TimeLimitExceeded,
)
from taskyard.domain.retry import AUTHENTICATION, CONNECTION, FULL_JITTER_FLOOR, GiveUp, RetryPolicy, RetryRule

STEADY = RetryPolicy(jitter=False)
ERROR = ValueError("no")


class Refusal(Exception): ...


class Final(Refusal): ...


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


policies = st.builds(
    RetryPolicy,
    retries=st.integers(0, 50),
    first_delay=st.timedeltas(timedelta(0), timedelta(days=400)),
    max_delay=st.timedeltas(timedelta(0), timedelta(days=400)),
    factor=st.floats(0, 1e12),
    jitter=st.booleans(),
)
shares = st.floats(0, 1, exclude_max=True)


@given(policies, st.integers(1, 10**9) | st.just(10**400), shares)
def test_no_count_of_failures_leads_past_the_cap_or_below_zero(
    policy: RetryPolicy, failures: int, share: float
) -> None:
    delay = policy.delay(failures, error=ERROR, rand=lambda: share)
    assert timedelta(0) <= delay <= min(policy.max_delay, LONGEST_DELAY)


@given(policies, st.integers(1, 2000), shares)
def test_full_jitter_takes_a_share_of_the_delay_and_leaves_a_twentieth(
    policy: RetryPolicy, failures: int, share: float
) -> None:
    whole = RetryPolicy(
        first_delay=policy.first_delay, max_delay=policy.max_delay, factor=policy.factor, jitter=False
    ).delay(failures)
    jittered = RetryPolicy(
        first_delay=policy.first_delay, max_delay=policy.max_delay, factor=policy.factor, jitter=True
    ).delay(failures, rand=lambda: share)
    rounding = timedelta(microseconds=2)
    assert whole * FULL_JITTER_FLOOR - rounding <= jittered <= whole + rounding


@given(st.integers(1, 100), st.floats(1, 10))
def test_delays_never_shrink_from_one_failure_to_the_next(failures: int, factor: float) -> None:
    policy = RetryPolicy(factor=factor, jitter=False)
    assert policy.delay(failures) <= policy.delay(failures + 1)


def test_the_delay_doubles_up_to_the_cap() -> None:
    delays = [STEADY.delay(n).total_seconds() for n in range(1, 8)]
    assert delays == [60, 120, 240, 480, 600, 600, 600]


def test_a_slow_factor_reaches_the_cap_too() -> None:
    policy = RetryPolicy(first_delay=seconds(1), factor=1.05, jitter=False)
    assert policy.delay(65) < policy.delay(100) < policy.max_delay
    assert policy.delay(200) == policy.max_delay


def test_the_share_is_drawn_from_the_given_source() -> None:
    policy = RetryPolicy()
    assert policy.delay(1, rand=lambda: 0.0) == seconds(60 * FULL_JITTER_FLOOR)
    assert policy.delay(1, rand=lambda: 0.5) == seconds(60 * (FULL_JITTER_FLOOR + 0.475))


def test_connection_errors_come_back_sooner() -> None:
    assert STEADY.delay(1, error=ConnectionRefusedError()) == seconds(5)
    assert STEADY.delay(3, error=ConnectionResetError()) == seconds(20)
    assert STEADY.delay(1, error=TimeoutError()) == seconds(60)


@given(st.integers(0, 20), st.integers(1, 30))
def test_there_are_as_many_attempts_as_the_policy_says(retries: int, failures: int) -> None:
    decision = RetryPolicy(retries=retries).decide(ERROR, failures=failures)
    assert (decision == GiveUp("max_attempts")) == (failures >= retries + 1)


def test_the_tasks_own_limit_wins_over_the_policys() -> None:
    assert STEADY.decide(ERROR, failures=4) == GiveUp("max_attempts")
    assert STEADY.decide(ERROR, failures=4, max_attempts=5) == seconds(480)
    assert STEADY.decide(ERROR, failures=1, max_attempts=1) == GiveUp("max_attempts")
    assert STEADY.decide(ERROR, failures=1, max_attempts=0) == GiveUp("max_attempts")


def test_only_what_retry_on_names_is_tried_again() -> None:
    policy = RetryPolicy(retry_on=(ConnectionError,))
    assert policy.is_retryable(ConnectionResetError())
    assert policy.decide(ERROR, failures=1) == GiveUp("not_retryable")


def test_give_up_on_wins_over_retry_on() -> None:
    policy = RetryPolicy(retry_on=(Refusal,), give_up_on=(Final,))
    assert policy.is_retryable(Refusal())
    assert policy.decide(Final(), failures=1) == GiveUp("not_retryable")


def test_a_task_error_says_itself_whether_trying_again_can_help() -> None:
    policy = RetryPolicy(retry_on=(ConnectionError,))
    assert policy.is_retryable(TaskError("busy"))
    assert not STEADY.is_retryable(TaskError("no_such_user", retryable=False))


@pytest.mark.parametrize("interrupt", [TaskCancelled(), SystemExit(), KeyboardInterrupt()])
def test_interrupts_are_not_tried_again_unless_the_policy_names_them(interrupt: BaseException) -> None:
    assert not STEADY.is_retryable(interrupt)
    assert RetryPolicy(retry_on=(type(interrupt),)).is_retryable(interrupt)


@pytest.mark.parametrize("limit", [SoftTimeLimitExceeded(), HardTimeLimitExceeded()])
def test_a_time_limit_is_worth_another_attempt_unless_the_policy_says_otherwise(limit: BaseException) -> None:
    assert STEADY.is_retryable(limit)
    assert not RetryPolicy(give_up_on=(TimeLimitExceeded,)).is_retryable(limit)
    assert not RetryPolicy(retry_on=(ConnectionError,)).is_retryable(limit)


def test_a_task_that_asks_for_a_retry_says_when() -> None:
    assert STEADY.decide(Retry(after=seconds(7)), failures=1) == seconds(7)
    assert STEADY.decide(Retry(), failures=2) == seconds(120)
    assert STEADY.decide(Retry(after=seconds(-7)), failures=1) == timedelta(0)


def test_a_retry_that_a_task_asks_for_counts_against_the_budget() -> None:
    assert STEADY.decide(Retry(after=seconds(7)), failures=4) == GiveUp("max_attempts")


def test_a_retry_stays_within_the_times_that_postgresql_knows() -> None:
    assert STEADY.decide(Retry(after=timedelta.max), failures=1) == LONGEST_DELAY


def test_a_rate_limit_is_waited_for_as_told_or_for_a_minute_that_doubles() -> None:
    assert STEADY.decide(RateLimited("busy", after=7), failures=3) == seconds(7)
    assert STEADY.decide(RateLimited("busy", after=10**12), failures=1) == LONGEST_DELAY
    policy = RetryPolicy(first_delay=seconds(1), jitter=False)
    assert [policy.decide(RateLimited("busy"), failures=n) for n in (1, 2, 3)] == [seconds(s) for s in (60, 120, 240)]
    assert STEADY.decide(RateLimited("busy", after=7), failures=4) == GiveUp("max_attempts")
    for after in (-1, float("nan"), "7", True):
        with pytest.raises((TypeError, ValueError)):
            RateLimited("busy", after=after)  # type: ignore[arg-type]


def test_authentication_and_validation_errors_are_never_tried_again() -> None:
    class Model(BaseModel):
        number: int

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"number": "x"})
    for error in (AuthenticationFailed("bad_token"), InputUnusable("no_such_user"), caught.value):
        assert STEADY.decide(error, failures=1) == GiveUp("not_retryable")
        assert RetryPolicy(rules=()).is_retryable(error)


def test_a_type_says_of_what_kind_an_error_is_by_code_and_by_class() -> None:
    policy = STEADY.with_rules(
        CONNECTION.of("bank_away", TimeoutError),
        AUTHENTICATION.of("bank_key_refused"),
        RetryRule("quota", codes=("quota_used",), first_delay=seconds(300)),
    )
    assert policy.decide(TaskError("bank_away"), failures=1) == seconds(5)
    assert policy.decide(TimeoutError(), failures=2) == seconds(10)
    assert policy.decide(ConnectionResetError(), failures=1) == seconds(5)
    assert policy.decide(TaskError("bank_key_refused"), failures=1) == GiveUp("not_retryable")
    assert policy.decide(TaskError("quota_used"), failures=1) == seconds(300)
    assert policy.decide(TaskError("other"), failures=1) == seconds(60)
    assert [rule.kind for rule in policy.rules] == ["connection", "authentication", "quota", "rate_limit", "validation"]


def test_a_type_may_try_again_what_others_do_not() -> None:
    policy = STEADY.with_rules(replace(AUTHENTICATION, retried=True, first_delay=seconds(3)))
    assert policy.decide(AuthenticationFailed("token_being_renewed"), failures=1) == seconds(3)
    assert not policy.is_retryable(AuthenticationFailed("token_revoked", retryable=False))
