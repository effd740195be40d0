"""Replicas that are killed under load: a short form of `python -m tests.chaos.serve`."""

import pytest

from tests.chaos.serve import TWO_OF_EACH, kill_replicas, served

pytestmark = pytest.mark.e2e


def test_killed_replicas_cost_no_request_and_no_wrong_picture() -> None:
    with served(*TWO_OF_EACH) as service:
        kills, answers = kill_replicas(service, "Editor", seconds=15, retries=0, every=5)
        assert kills > 0
        assert set(answers.statuses) == {200}
        assert (answers.broken, answers.wrong) == (0, 0), answers.told
        kills, answers = kill_replicas(service, "Ingress", seconds=15, retries=1, every=5)
        assert kills > 0
        assert set(answers.statuses) == {200}
        assert (answers.lost, answers.wrong) == (0, 0), answers.told
        assert answers.retried == answers.broken <= kills * 4  # only what the killed replicas held, sent again once
