"""Perspective views against closed forms, and rolls that lose nothing."""

import numpy as np
import pytest

from retcap.captioning import policies, views

H, W = 256, 512


def sphere() -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of every pixel centre of a panorama, in radians."""
    longitude = ((np.arange(W) + 0.5) / W - 0.5) * 2 * np.pi
    latitude = (0.5 - (np.arange(H) + 0.5) / H) * np.pi
    return np.meshgrid(longitude, latitude)


def painted(values: np.ndarray) -> np.ndarray:
    """A panorama whose three channels hold values from 0 to 1."""
    return np.repeat(np.rint(255 * values)[..., None], 3, axis=2).astype(np.uint8)


def camera(yaw_deg: float, side: int) -> np.ndarray:
    """Unit rays of every pixel of a 90-degree view: x right, y up, z ahead, from matrices instead of angles."""
    ends = (2 * np.arange(side) + 1) / side - 1
    x, y = np.meshgrid(ends, -ends)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    angle = np.radians(yaw_deg)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)) @ turn.T


@pytest.mark.parametrize("yaw", [0, 90, 180, 270, 37])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_pixel_of_a_view_shows_what_its_ray_meets(yaw: int, axis: int):
    """Paint each point of the sphere with one coordinate of its unit vector: a view must show that of its rays."""
    longitude, latitude = sphere()
    vector = (np.cos(latitude) * np.sin(longitude), np.sin(latitude), np.cos(latitude) * np.cos(longitude))
    seen = views.view(painted((1 + vector[axis]) / 2), yaw, side=64)[..., 0] / 255
    expected = (1 + camera(yaw, 64)[..., axis]) / 2
    # half a grey level in the picture, half in the view, and bilinear sampling: step^2 / 8 of a curvature of 1 at most
    assert np.abs(seen - expected).max() <= 1 / 255 + 2 * (2 * np.pi / W) ** 2 / 8


def test_the_four_views_stand_ahead_right_behind_left_and_meet_at_their_edges():
    longitude, _ = sphere()
    image = painted((longitude + np.pi) / (2 * np.pi))
    whole = views.mosaic(image)[..., 0].astype(int)
    side = whole.shape[0] // 2
    assert whole.shape == (2 * side, 2 * side)
    assert 4 * side * side == pytest.approx(H * W, rel=0.02)
    middle = side // 2
    ahead, right, left = whole[middle, middle], whole[middle, side + middle], whole[side + middle, side + middle]
    assert [ahead, right, left] == pytest.approx([127.5, 191, 64], abs=2)
    assert abs(whole[middle, side - 1] - whole[middle, side]) <= 2  # ahead goes on to the right
    behind = whole[side + middle, :side]
    assert {behind[0] > 200, behind[-1] < 60} == {True}  # the seam of the panorama lies in its middle


def test_a_roll_moves_columns_and_loses_none():
    image = np.random.default_rng(0).integers(0, 256, (4, 16, 3), dtype=np.uint8)
    turned = views.roll(image, 90)
    assert (turned[:, 8] == image[:, 12]).all()  # what was a quarter to the right is in the middle
    for _ in range(3):
        turned = views.roll(turned, 90)
    assert (turned == image).all()
    assert (views.roll(image, 360) == image).all()


def test_a_rolled_panorama_shows_ahead_what_was_to_the_right():
    image = np.random.default_rng(1).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    assert (views.view(views.roll(image, 90), 0, 32) == views.view(image, 90, 32)).all()


def test_every_captioner_has_the_views():
    from retcap import plugins

    for name in plugins.names("captioners"):
        assert {"native", "letterbox", "squash", "views"} <= set(policies.words(plugins.load("captioners", name)))
