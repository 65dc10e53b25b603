"""The set-up says first what it will do, does what it can, and names what it left out."""

import json
import re
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import steps
import steps_host
import steps_python
from bootstrap import set_up
from steps import Stamp, Step, StepError

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "ansible" / "roles" / "isobench_host"
PINS = (ROOT / "constraints.txt").read_text()


@dataclass
class Scripted(Step):
    """A step with a scripted end; notes when it was done."""

    sentence: str | None = "paint the fence"
    lack: StepError | None = None
    failure: StepError | None = None
    vital: bool = False
    done: list[str] = field(default_factory=list)

    def plan(self) -> str | None:
        if self.lack:
            raise self.lack
        return self.sentence

    def do(self) -> None:
        print("doing it")
        if self.failure:
            raise self.failure
        self.done.append("done")


def error() -> StepError:
    return StepError("no paint", "apt-get install paint")


def test_nothing_missing_is_silent_and_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    step = Scripted(sentence=None)
    assert set_up([step]) == 0
    assert capsys.readouterr().out == ""
    assert not step.done


def test_all_plans_are_told_before_any_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert set_up([Scripted(), Scripted(sentence="mow the lawn")]) == 0
    told = capsys.readouterr().out
    assert told.index("paint the fence") < told.index("mow the lawn") < told.index("doing it")


@pytest.mark.parametrize("step", [Scripted(lack=error()), Scripted(failure=error())], ids=["lack", "failure"])
def test_what_cannot_be_done_is_left_out_with_its_remedy_and_the_rest_is_done(
    step: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Scripted()
    assert set_up([step, other]) == 0
    assert other.done
    assert "left out: no paint\n  mend it with: apt-get install paint\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "step",
    [Scripted(lack=error(), vital=True), Scripted(failure=error(), vital=True)],
    ids=["lack", "failure"],
)
def test_vital_step_that_cannot_be_done_ends_the_set_up(
    step: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Scripted()
    assert set_up([step, other]) == 1
    assert not other.done
    assert "set-up: no paint\n  mend it with: apt-get install paint\n" in capsys.readouterr().err


def test_stamp_is_current_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "VENV", tmp_path)
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    stamp = Stamp("thing", [tmp_path / "a", tmp_path / "b"])
    assert not stamp.is_current()
    stamp.set()
    assert stamp.is_current()
    (tmp_path / "b").write_text("3")
    assert not stamp.is_current()


def test_command_that_fails_gives_its_reason_code_and_remedy() -> None:
    with pytest.raises(StepError, match=r"no luck \(exit code 3") as caught:
        steps.run(["/bin/sh", "-c", "exit 3"], why_not="no luck", remedy="try again")
    assert caught.value.remedy == "try again"


def test_command_that_is_not_there_gives_its_reason_and_remedy() -> None:
    with pytest.raises(StepError, match=r"no luck: .*No such file"):
        steps.run(["/nonexistent/program"], why_not="no luck", remedy="try again")


def hide(monkeypatch: pytest.MonkeyPatch, *commands: str) -> None:
    def which(command: str, **_: str) -> str | None:
        return None if command in commands else f"/usr/bin/{command}"

    monkeypatch.setattr("steps_host.shutil.which", which)
    monkeypatch.setattr("steps_host.Path.exists", lambda path: path.name not in commands)


def test_packages_of_missing_commands_are_announced_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "runc", "lxc-start", "stdio.h")
    monkeypatch.setattr("steps_host.os.geteuid", lambda: 0)
    assert "install the Debian packages libc6-dev lxc runc " in str(steps_host.HostPackages().plan())


@pytest.mark.parametrize(
    ("uid", "gone", "remedy"),
    [
        (1000, (), "apt-get install --no-install-recommends runc "),
        (0, ("apt-get", "stdio.h"), "dnf install glibc-devel runc "),
        (0, ("apt-get", "dnf"), "apt-get install --no-install-recommends runc "),
    ],
    ids=["no root", "dnf", "neither"],
)
def test_packages_that_cannot_be_installed_come_with_the_command_for_root(
    uid: int, gone: tuple[str, ...], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "runc", *gone)
    monkeypatch.setattr("steps_host.os.geteuid", lambda: uid)
    with pytest.raises(StepError, match="only root can install them, with apt") as caught:
        steps_host.HostPackages().plan()
    assert remedy in caught.value.remedy


def test_guest_kernel_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path))
    monkeypatch.setattr("steps_host.shutil.which", lambda name: f"/usr/bin/{name}")
    assert str(tmp_path / "kernel" / "vmlinuz") in str(steps_host.GuestKernel().plan())
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "vmlinuz").touch()
    assert steps_host.GuestKernel().plan() is None


def test_guest_kernel_that_the_role_could_not_bring_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path))
    monkeypatch.setattr(steps_host, "play", lambda *_, **__: None)
    with pytest.raises(StepError, match="could not be fetched"):
        steps_host.GuestKernel().do()


def test_guest_kernel_without_apt_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path))
    hide(monkeypatch, "apt-get", "vmlinuz")
    with pytest.raises(StepError, match="no apt-get"):
        steps_host.GuestKernel().plan()


def test_python_without_ensurepip_names_the_debian_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps_python, "PYTHON", tmp_path / "none")
    monkeypatch.setattr("steps_python.importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(steps_python, "can_install", lambda: False)
    with pytest.raises(StepError, match="ensurepip") as caught:
        steps_python.VenvPackage().plan()
    assert "apt-get install python3-venv" in caught.value.remedy


def test_virtual_environment_without_pip_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps_python, "PYTHON", tmp_path / "python")
    (tmp_path / "python").touch()
    assert "make the virtual environment" in str(steps_python.Venv().plan())
    (tmp_path / "pip").touch()
    assert steps_python.Venv().plan() is None


@pytest.mark.parametrize(
    ("lists", "tables"),
    [
        (("packages", "x86_64", "compiler"), [steps_host.SHOWN_BY]),
        (("tests",), list(steps_host.SHOWN_BY_FOR.values())),
    ],
)
def test_packages_looked_for_are_those_of_the_role(
    lists: tuple[str, ...], tables: list[dict[str, str]]
) -> None:
    family = (ROLE / "vars" / "Debian.yml").read_text()
    blocks = [re.search(rf"^  {name}:\n((?:    - .*\n)+)", family, re.MULTILINE) for name in lists]
    listed = [
        line for block in blocks if block for line in re.findall(r"^    - (\S+)", block[1], re.MULTILINE)
    ]
    assert sorted(listed) == sorted({package for table in tables for package in table.values()})


OF_TESTS = ("chromium", "mmdebstrap", "mkfs.ext4", "ssh", "hyperfine", "qemu-aarch64")


@pytest.mark.parametrize(
    ("targets", "packages"),
    [
        (["bench"], None),
        ([], None),
        (["test"], "chromium e2fsprogs hyperfine mmdebstrap openssh-client qemu-user"),
        (["perf"], "bubblewrap hyperfine strace"),
        (["bench", "test"], "chromium e2fsprogs hyperfine mmdebstrap openssh-client qemu-user"),
    ],
)
def test_packages_of_tests_are_announced_for_the_targets_that_use_them_alone(
    targets: list[str], packages: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, *OF_TESTS, "bwrap", "strace")
    monkeypatch.setattr("steps_host.os.geteuid", lambda: 0)
    sentences = [steps_host.HostPackages().plan(), steps_host.TargetPackages(targets).plan()]
    told = packages and f"install the Debian packages {packages} and what they depend on (role isobench_host)"
    assert sentences == [None, told]


def test_only_what_was_announced_is_asked_of_the_role(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    hide(monkeypatch, "strace", "chromium")
    monkeypatch.setattr("steps_host.run", lambda argv, **_: commands.append([str(word) for word in argv]))
    steps_host.TargetPackages(["test"]).do()
    ((*_, tags, tag, extra, variables),) = commands
    assert (tags, tag, extra) == ("--tags", "test_packages", "--extra-vars")
    assert json.loads(variables)["isobench_host_test_packages"] == ["chromium"]


def test_make_tells_the_set_up_its_targets() -> None:
    make = ["make", "--dry-run", "test", "PYTHON=python3"]
    commands = subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "scripts/bootstrap.py test\n" in commands


def test_every_dependency_is_pinned_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    wanted += [line for name in ("test", "lint", "setup") for line in extras[name]]
    names = {re.split(r"[<>=\[]", line)[0].lower().replace(".", "-") for line in wanted}
    pinned = set(re.findall(r"^([a-z0-9-]+)==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", PINS, re.MULTILINE))
    assert names - pinned == set()


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-zig.txt"])
def test_pins_hold_versions_and_hashes_and_no_address(file: str) -> None:
    allowed = re.compile(r"[a-z0-9-]+==[^\s:/@]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?|\s*#(?!.*(://|@)).*")
    strange = [
        line for line in (ROOT / file).read_text().splitlines() if not allowed.fullmatch(line) and line
    ]
    assert not strange
