"""Operations on codes against their definitions."""

import pytest
import torch

from diffusegae.editing.operations import interpolate_parts, recombine, replace_parts, slerp

PARTS = (slice(0, 2), slice(2, 3), slice(3, 6))


def test_replacing_parts_is_undone_by_the_source() -> None:
    a, b = torch.randn(3, 6), torch.randn(3, 6)
    edited = replace_parts(a, b, [PARTS[1]])
    torch.testing.assert_close(edited[:, PARTS[1]], b[:, PARTS[1]])
    torch.testing.assert_close(replace_parts(edited, a, [PARTS[1]]), a)


def test_recombining_own_parts_is_the_identity() -> None:
    a = torch.randn(3, 6)
    torch.testing.assert_close(recombine([a, a, a], PARTS), a)


def test_interpolation_hits_both_ends_in_its_parts_only() -> None:
    a, b = torch.randn(3, 6), torch.randn(3, 6)
    torch.testing.assert_close(interpolate_parts(a, b, 0.0, PARTS), a)
    torch.testing.assert_close(interpolate_parts(a, b, 1.0, PARTS), b)
    torch.testing.assert_close(interpolate_parts(a, b, 1.0, [PARTS[0]])[:, 2:], a[:, 2:])


def test_slerp_hits_both_ends_and_keeps_the_norm_of_noise() -> None:
    a, b = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b, atol=1e-5, rtol=1e-5)
    assert float(slerp(a, b, 0.5).std()) == pytest.approx(1.0, abs=0.05)
