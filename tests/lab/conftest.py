"""A lab host for the tests of this folder: built once, booted once for each file that asks for it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_image import BuildError, Image, image
from tests.lab.vm import LabHost, lab_host, project_disk


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They build and boot virtual machines: root, and more time than others have."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.timeout(1500))


@pytest.fixture(scope="session")
def lab_image() -> Image:
    """The image, built if this host has none of this recipe yet."""
    try:
        return image()
    except BuildError as error:
        pytest.skip(f"no lab host: {error}")  # a failure in CI


@pytest.fixture(scope="module")
def host(lab_image: Image, agent: Path) -> Iterator[LabHost]:
    """A booted one, with this project on /isobench."""
    # Not in /tmp, which may be memory.
    place = lab_image.directory.parent
    with (
        tempfile.TemporaryDirectory(prefix=".project-", dir=place) as directory,
        lab_host(lab_image, project_disk(Path(directory), agent)) as booted,
    ):
        yield booted
