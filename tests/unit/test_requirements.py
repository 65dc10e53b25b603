"""What isolators ask of a host, and where an option's program is."""

from pathlib import Path

import pytest

from isobench.errors import HostUnfitError
from isobench.isolators.requirements import tool_path
from isobench.isolators.runc import RuncOptions


def test_relative_program_is_that_of_the_folder_the_matrix_is_read_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert RuncOptions(binary="./runc").binary == str(tmp_path / "runc")
    assert RuncOptions(binary="runc").binary == "runc"


def test_recorded_program_is_the_same_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recorded = RuncOptions(binary="./runc").model_dump()
    monkeypatch.chdir("/")

    assert RuncOptions.model_validate(recorded).binary == str(tmp_path / "runc")


def test_program_that_has_gone_is_refused_with_the_command_that_brings_it_back() -> None:
    with pytest.raises(HostUnfitError, match="isobench-no-such-tool has gone") as error:
        tool_path("isobench-no-such-tool", "some-package")

    assert error.value.remedy == "apt-get install some-package"
