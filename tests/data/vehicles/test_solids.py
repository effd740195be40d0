"""Solids are closed, wind outwards, and have the volumes of geometry."""

from collections import Counter

import numpy as np
import pytest

from diffusegae.data.vehicles.solids import Mesh, block, box, cylinder, ellipsoid, join, prism, slab, tube

_GREY = (0.5, 0.5, 0.5)
_SOLIDS = {
    "block": block([(-1, 0.5, 0.4, 0, 1), (0, 0.6, 0.5, 0, 1.2), (1, 0.3, 0.2, 0.1, 0.6)], _GREY),
    "wedge": block([(0, 0.5, 0.5, 0, 1), (1, 0.5, 0.5, 0, 0)], _GREY, chamfer=0.0),
    "prism": prism((-1, 1), (0.4, 0.3), (0, 0.5), _GREY),
    "box": box((0, 1), (2, 4), (5, 8), _GREY),
    "tube": tube([(0, 0.0, 0.0, 0), (1, 0.4, 0.5, 0.1), (2, 0.2, 0.2, 0)], _GREY, axis=2),
    "cylinder": cylinder((1, 2, 3), 0.5, 2.0, _GREY, axis=1),
    "ellipsoid": ellipsoid((0, 0, 1), (1, 0.5, 0.7), _GREY),
}


def _volume(mesh: Mesh) -> float:
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    return float(np.einsum("ti,ti->", a, np.cross(b, c))) / 6


@pytest.mark.parametrize("name", _SOLIDS)
def test_every_edge_is_met_by_its_reverse(name: str) -> None:
    corners = np.round(_SOLIDS[name].corners, 9) + 0.0
    edges = Counter(
        (tuple(triangle[i]), tuple(triangle[(i + 1) % 3])) for triangle in corners.tolist() for i in range(3)
    )  # fmt: skip
    named = Counter((tuple(a), tuple(b)) for a, b in edges.elements())
    assert all(named[(b, a)] == count for (a, b), count in named.items())


@pytest.mark.parametrize("name", _SOLIDS)
def test_faces_wind_outwards_and_normals_agree(name: str) -> None:
    mesh = _SOLIDS[name]
    assert _volume(mesh) > 0
    face = np.cross(mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0])
    assert (np.einsum("ti,tci->tc", face, mesh.normals) > -1e-9).all()
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=-1), 1.0, atol=1e-9)


def test_volumes_are_those_of_geometry() -> None:
    assert _volume(box((0, 1), (2, 4), (5, 8), _GREY)) == pytest.approx(6.0)
    assert _volume(slab((-1, 1), 0.25, (0, 3), _GREY)) == pytest.approx(3.0)
    assert _volume(_SOLIDS["wedge"]) == pytest.approx(0.5)
    polygon = 0.5 * 14 * np.sin(2 * np.pi / 14)
    assert _volume(cylinder((5, 5, 5), 0.5, 2.0, _GREY, axis=0)) == pytest.approx(polygon * 0.25 * 2.0)


def test_moving_and_turning_keep_shape_and_normals() -> None:
    mesh = join([_SOLIDS["block"], _SOLIDS["cylinder"]])
    turned = mesh.rotated(0.7, axis=2).moved(x=3.0, z=-1.0)
    assert _volume(turned) == pytest.approx(_volume(mesh))
    face = np.cross(turned.corners[:, 1] - turned.corners[:, 0], turned.corners[:, 2] - turned.corners[:, 0])
    assert (np.einsum("ti,tci->tc", face, turned.normals) > -1e-9).all()


def test_a_quarter_turn_about_z_takes_forward_to_left() -> None:
    turned = box((1, 2), (-0.1, 0.1), (0, 0.1), _GREY).rotated(np.pi / 2, axis=2)
    np.testing.assert_allclose(turned.corners[..., 1].min(), 1.0, atol=1e-12)
