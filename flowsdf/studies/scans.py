"""mesh-to-sdf with a number of virtual scans of our choice, which are most of its time."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest import mock

SCANS = 100  # what the library takes


@contextmanager
def scanning(scans: int) -> Iterator[None]:
    """Within, `reference_sdf` scans a mesh ``scans`` times; fewer scans leave wider gaps between their points."""
    from flowsdf.data.reference_sdf import mesh_to_sdf

    fewer = partial(mesh_to_sdf.get_surface_point_cloud, scan_count=scans)
    with mock.patch.object(mesh_to_sdf, "get_surface_point_cloud", fewer):
        yield
