"""The algebra of z_dis against its definitions."""

import torch

from diffusegae.models.parts import GroupLayout, interpolate_parts, recombine, replace_parts, swap_with_centre

PARTS = (slice(0, 2), slice(2, 3), slice(3, 6))
ONE = GroupLayout(PARTS, ((0,), (1,), (2,)))


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


def test_swap_exchanges_the_shared_part_and_no_other() -> None:
    codes = torch.randn(2, 4, 6)
    centres, partners = swap_with_centre(codes, ONE)
    for j, part in enumerate(PARTS):
        torch.testing.assert_close(centres[:, j, part], codes[:, 1 + j, part])
        torch.testing.assert_close(partners[:, j, part], codes[:, 0, part])
        rest = [k for k in range(6) if k not in range(*part.indices(6))]
        torch.testing.assert_close(centres[:, j, rest], codes[:, 0, rest])
        torch.testing.assert_close(partners[:, j, rest], codes[:, 1 + j, rest])
