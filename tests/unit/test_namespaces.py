"""Which namespaces may be asked for, and what the launch makes of them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from isobench.isolators import namespaces
from isobench.isolators.cgroup.tree import NoCgroups
from isobench.isolators.contract import Site
from isobench.isolators.namespaces import Namespaces, NamespacesOptions
from isobench.model import Bundle, Launch, Status


@pytest.fixture
def site(tmp_path: Path) -> Site:
    root = tmp_path / "root"
    return Site(
        token="isobench-00000000",  # noqa: S106 - a name, not a secret
        work=tmp_path,
        cache=tmp_path,
        agent=root / "isoagent",
        rootfs=root,
        cgroups=NoCgroups("none", (), frozenset()),
    )


def launch(site: Site, *names: str) -> Launch:
    options = NamespacesOptions.model_validate({"namespaces": names})
    with Namespaces("namespaces", options).prepare(site, Bundle(("/isoagent", "ready"), site.rootfs)) as made:
        return made


def test_default_is_what_container_runtimes_make() -> None:
    assert NamespacesOptions().namespaces == ("mount", "uts", "ipc", "pid", "network", "cgroup")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["mount", "mount"], "named twice"),
        (["net"], "'mount', 'uts', 'ipc', 'pid', 'network', 'user', 'cgroup' or 'time'"),
        ([], "at least 1 item"),
        ("mount", "valid tuple"),
    ],
)
def test_wrong_choice_is_refused_with_what_is_allowed(value: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        NamespacesOptions.model_validate({"namespaces": value})


def test_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="namespace\n"):
        NamespacesOptions.model_validate({"namespace": ["mount"]})


def test_mount_and_pid_namespaces_give_an_own_root_and_an_own_proc(site: Site) -> None:
    made = launch(site, "mount", "pid")
    assert (made.root, made.root_change, made.mount_proc) == (site.rootfs, "pivot_root", True)
    assert made.spawn == made.host_argv == ("/isoagent", "ready")


def test_mount_namespace_without_a_pid_one_mounts_no_proc(site: Site) -> None:
    """It would show the processes of the host."""
    assert not launch(site, "mount", "uts").mount_proc


def test_without_a_mount_namespace_the_hosts_root_is_kept(site: Site) -> None:
    made = launch(site, "pid", "network")
    assert (made.root, made.root_change, made.mount_proc) == (None, None, False)
    assert made.spawn == made.host_argv == (f"{site.rootfs}/isoagent", "ready")


def test_kernel_without_a_namespace_makes_it_unavailable_with_file_and_remedy(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.path.lexists", lambda path: not str(path).endswith("/net"))
    readiness = Namespaces("namespaces", NamespacesOptions()).probe(site)
    assert readiness.status is Status.UNAVAILABLE
    assert readiness.reason == "this kernel has no network namespaces (/proc/self/ns/net is missing)"
    assert "leave network out" in (readiness.remedy or "")


def test_user_namespaces_switched_off_make_it_unavailable_with_the_command_that_allows_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _path: "0\n")
    options = NamespacesOptions.model_validate({"namespaces": ["user"]})
    readiness = Namespaces("namespaces", options).probe(site)
    assert readiness.reason == "user namespaces are switched off on this host"
    assert readiness.remedy == "sysctl -w user.max_user_namespaces=15000"


@pytest.mark.parametrize(("names", "usable"), [(("mount",), False), (("user", "mount"), True)])
def test_root_is_needed_unless_a_user_namespace_comes_with_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], *, usable: bool
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(namespaces, "_user_namespaces_off", lambda: False)
    options = NamespacesOptions.model_validate({"namespaces": names})
    assert Namespaces("namespaces", options).probe(site).usable is usable
