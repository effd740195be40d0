from typing import Any

import pytest

from diffusegae.client import (
    AnswerError,
    BadRequestError,
    BrokenConnectionError,
    ClientError,
    Retries,
    TimedOutError,
    TooManyRequestsError,
    UnavailableError,
    UnreachableError,
)
from diffusegae.client.retry import NOT_ACCEPTED, RESUMABLE
from tests.clock import Clock


def unavailable(retry_after: float | None = None) -> UnavailableError:
    return UnavailableError(503, "about:blank", "Busy", "come back", retry_after)


def test_pauses_double_up_to_the_longest() -> None:
    policy = Retries(attempts=6, first=1.0, longest=5.0, draw=lambda: 1.0, clock=Clock())
    attempts = policy.begin()
    assert [attempts.pause(unavailable()) for _ in range(5)] == [1, 2, 4, 5, 5]
    with pytest.raises(UnavailableError):
        attempts.pause(unavailable())


def test_jitter_is_full_and_retry_after_is_a_lower_bound() -> None:
    policy = Retries(first=2.0, draw=lambda: 0.25, clock=Clock())
    assert policy.begin().pause(unavailable()) == 0.5
    assert policy.begin().pause(unavailable(retry_after=7.0)) == 7.5
    drawn = {Retries().begin().pause(unavailable()) for _ in range(20)}
    assert len(drawn) > 1
    assert all(0 <= seconds <= 0.5 for seconds in drawn)


def test_nothing_is_started_beyond_the_deadline() -> None:
    clock = Clock()
    attempts = Retries(attempts=100, first=1.0, deadline=10.0, draw=lambda: 1.0, clock=clock).begin()
    assert attempts.pause(unavailable()) == 1
    clock.now += 9
    assert attempts.seconds_left == 1
    with pytest.raises(UnavailableError):
        attempts.pause(unavailable())
    clock.now += 9
    assert attempts.seconds_left == 0
    attempts.renew()
    assert attempts.seconds_left == 10
    assert attempts.pause(unavailable()) == 1
    with pytest.raises(UnavailableError):
        attempts.pause(unavailable(retry_after=60.0))


@pytest.mark.parametrize(
    ("error", "plain", "submission", "job"),
    [
        (UnreachableError("x"), True, True, True),
        (TooManyRequestsError(429, "t", "t", "d"), True, True, True),
        (BrokenConnectionError("x"), True, False, True),
        (unavailable(), True, False, True),
        (TimedOutError("x"), False, False, True),
        (BadRequestError(422, "t", "t", "d"), False, False, False),
        (AnswerError("x"), False, False, False),
    ],
)
def test_what_is_tried_again(error: ClientError, plain: bool, submission: bool, job: bool) -> None:
    policy = Retries()
    for is_tried, attempts in (
        (plain, policy.begin()),
        (submission, policy.begin(NOT_ACCEPTED)),
        (job, policy.begin(RESUMABLE)),
    ):
        if is_tried:
            assert attempts.pause(error) >= 0
        else:
            with pytest.raises(type(error)) as raised:
                attempts.pause(error)
            assert raised.value is error


def test_a_final_error_and_a_single_attempt_are_not_tried_again() -> None:
    final = unavailable()
    final.is_final = True
    for policy, error in ((Retries(), final), (Retries(attempts=1), unavailable())):
        with pytest.raises(UnavailableError):
            policy.begin().pause(error)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first": 0.0}, {"longest": -1.0}, {"deadline": 0.0}])
def test_what_is_no_policy(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="|".join(wrong)):
        Retries(**wrong)
