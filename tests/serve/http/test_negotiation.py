import pytest

from serve.http.negotiation import negotiate
from serve.problems import Problem

OFFERS = ["image/png", "application/json", "text/event-stream"]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "image/png"),
        ("  ", "image/png"),
        ("*/*", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("application/*", "application/json"),
        ("text/*;q=0.1", "text/event-stream"),
        ("application/json, */*", "application/json"),
        ("application/json;q=0.5, */*", "image/png"),
        ("application/json;q=0.2, text/event-stream;q=0.3", "text/event-stream"),
        ("image/png;q=0, */*", "application/json"),
        ("image/*;q=0.1, image/png;q=0.9, application/json;q=0.5", "image/png"),
        ("image/png, application/json", "image/png"),
        ("image/avif,image/webp,image/*;q=0.8,*/*;q=0.5", "image/png"),
        ("nonsense, application/json ; charset=utf-8 ; q=1.000", "application/json"),
        ("application/json;profile=x, text/event-stream;q=0.1", "text/event-stream"),
        (",,application/json", "application/json"),
    ],
)
def test_the_most_liked_form_is_chosen(accept: str | None, chosen: str) -> None:
    assert negotiate(accept, OFFERS) == chosen


@pytest.mark.parametrize(
    "accept", ["image/jpeg", "text/html", "*/png", "image/png;q=0", "image/png;q=2", "x", "a" * 9000]
)
def test_nothing_that_fits_is_a_406(accept: str) -> None:
    with pytest.raises(Problem, match=r"image/png, application/json, text/event-stream") as caught:
        negotiate(accept, OFFERS)
    assert caught.value.details.status == 406
