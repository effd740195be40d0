"""The bounded cache: what is used stays, what is old goes, and the bytes are counted."""

import torch

from diffusegae.editing.cache import TensorCache, content_key


def test_what_was_used_longest_ago_goes_first() -> None:
    cache = TensorCache(max_bytes=3 * 40)
    for name in "abc":
        cache.put(name, torch.full((10,), float(ord(name))))
    assert cache.get("a") is not None
    cache.put("d", torch.zeros(10))
    assert [name for name in "abcd" if cache.get(name) is not None] == ["a", "c", "d"]
    assert cache.num_bytes == 120


def test_it_never_holds_more_than_its_bytes() -> None:
    cache = TensorCache(max_bytes=100)
    cache.put("large", torch.zeros(26))
    assert len(cache) == 0
    for number in range(50):
        cache.put(number % 7, torch.zeros(number % 5 + 1))
        assert cache.num_bytes == sum(value.nbytes for value in cache._kept.values()) <= 100


def test_a_row_of_a_batch_does_not_keep_the_batch_alive() -> None:
    cache, batch = TensorCache(10**6), torch.zeros(1000, 10)
    cache.put("row", batch[3])
    found = cache.get("row")
    assert found is not None
    assert found.untyped_storage().nbytes() == 40


def test_hits_and_misses_are_counted() -> None:
    cache = TensorCache(100)
    cache.put("a", torch.zeros(1))
    for name in ("a", "b", "a"):
        cache.get(name)
    assert (cache.hits, cache.misses) == (2, 1)


def test_the_key_is_of_the_content() -> None:
    one = torch.rand(2, 3, 4)
    assert content_key(one[1]) == content_key(one[1].clone())
    assert content_key(one[1]) != content_key(one[0])
