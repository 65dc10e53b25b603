import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import isobench
from isobench.errors import AgentMissingError
from isobench.isolators import rootfs
from isobench.isolators.contract import AGENT_INSIDE


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    path = tmp_path / "agent"
    path.write_bytes(b"\x7fELF pretended")
    path.chmod(0o755)
    return path


def test_tree_has_the_agent_where_isolators_expect_it_and_the_usual_directories(
    agent: Path, tmp_path: Path
) -> None:
    root = rootfs.build(agent, tmp_path / "cache")
    inside = root / AGENT_INSIDE.lstrip("/")
    assert inside.read_bytes() == agent.read_bytes()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.iterdir())}
    assert modes.pop(root.name) == modes.pop("isoagent") == 0o755
    assert modes == {"proc": 0o555, "sys": 0o555, "dev": 0o755, "tmp": 0o1777, "etc": 0o755}


def test_modes_do_not_depend_on_the_umask(agent: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        root = rootfs.build(agent, tmp_path / "cache")
    finally:
        os.umask(before)
    assert stat.S_IMODE(root.stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777


def test_null_is_left_out_where_devices_cannot_be_made(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "mknod", refuse)
    assert not list((rootfs.build(agent, tmp_path / "cache") / "dev").iterdir())


def test_second_build_of_the_same_agent_is_the_same_tree_untouched(agent: Path, tmp_path: Path) -> None:
    first = rootfs.build(agent, tmp_path / "cache")
    inode = first.stat().st_ino
    assert rootfs.build(agent, tmp_path / "cache") == first
    assert first.stat().st_ino == inode


def test_another_agent_gets_a_tree_of_its_own(agent: Path, tmp_path: Path) -> None:
    first = rootfs.build(agent, tmp_path / "cache")
    agent.write_bytes(b"another")
    assert rootfs.build(agent, tmp_path / "cache") != first
    assert (first / "isoagent").read_bytes() == b"\x7fELF pretended"


def test_tree_with_a_damaged_agent_is_made_anew(agent: Path, tmp_path: Path) -> None:
    root = rootfs.build(agent, tmp_path / "cache")
    (root / "isoagent").write_bytes(b"torn")
    (root / "litter").write_text("x")
    assert rootfs.build(agent, tmp_path / "cache") == root
    assert (root / "isoagent").read_bytes() == agent.read_bytes()
    assert not (root / "litter").exists()


def test_builds_at_the_same_time_agree_and_leave_no_draft(agent: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        roots = set(pool.map(lambda _n: rootfs.build(agent, tmp_path / "cache"), range(16)))
    assert len(roots) == 1
    assert list((tmp_path / "cache" / "rootfs").iterdir()) == list(roots)


def test_build_that_fails_leaves_no_draft(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        rootfs.build(agent, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "rootfs").iterdir())


def test_agent_named_by_the_environment_is_taken(agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOBENCH_AGENT", str(agent))
    assert rootfs.agent_binary() == agent


def test_agent_named_by_the_environment_but_absent_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOBENCH_AGENT", str(tmp_path / "no"))
    with pytest.raises(
        AgentMissingError, match="ISOBENCH_AGENT names it, but there is no such file"
    ) as caught:
        rootfs.agent_binary()
    assert caught.value.remedy == "unset ISOBENCH_AGENT"


def test_agent_that_was_never_built_is_an_error_whose_remedy_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ISOBENCH_AGENT", raising=False)
    monkeypatch.setattr(isobench, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(AgentMissingError, match="benchmarks/agent/isoagent: there is no such file") as caught:
        rootfs.agent_binary()
    assert caught.value.remedy == "make agent"


def test_agent_that_is_not_executable_is_an_error_with_the_command(
    agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.chmod(0o644)
    monkeypatch.setenv("ISOBENCH_AGENT", str(agent))
    with pytest.raises(AgentMissingError, match="not executable") as caught:
        rootfs.agent_binary()
    assert caught.value.remedy == f"chmod +x {agent}"
