"""The recipes for CI on a scripted host: verdicts, files, annotations and exit codes of each step."""

import fcntl
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from tests.ci_jobs import ACTION, GITLAB, ROOT, Place, bash, run_action, run_gitlab

import isobench

STEADY = [0.050, 0.0505, 0.0495, 0.0502, 0.0498, 0.0501, 0.0499, 0.0503, 0.0497, 0.05]

COMMAND = """#!{python}
import sys
from pathlib import Path
sys.path.insert(0, {source!r})
from isobench import fakelab, lab
lab.this_host = lambda **_: fakelab.fake_lab(Path({state!r}), load={{"1min": {load}}}, cpu={{"usable": 2}})
from isobench.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return checkout(tmp_path)


def checkout(folder: Path) -> Place:
    (folder / "lab").mkdir()
    made = Place(folder, folder / "isobench")
    host(made, load=0.1)
    matrix(made)
    return made


def host(place: Place, *, load: float) -> None:
    """An isobench on a scripted host."""
    source = str(Path(isobench.__file__).parent.parent)
    text = COMMAND.format(python=sys.executable, source=source, state=str(place.folder / "lab"), load=load)
    place.command.write_text(text)
    place.command.chmod(place.command.stat().st_mode | stat.S_IXUSR)


def matrix(place: Place, *factors: float) -> None:
    """A matrix whose `new` takes these many times as long as `old`, one after the other."""
    script = {
        name: ", ".join(f"{{ value = {a * b} }}" for a, b in zip(STEADY, cycle(times), strict=False))
        for name, times in (("old", (1.0,)), ("new", factors or (1.0,)))
    }
    tables = [f'[[isolator]]\nkind = "fake"\nname = "{name}"\nscript = [{script[name]}]' for name in script]
    text = "\n".join(['[run]\nbenchmarks = ["fake"]\nseed = 7', *tables])
    (place.folder / "matrix.toml").write_text(text)


def gate(place: Place, **more: str) -> list[subprocess.CompletedProcess[str]]:
    inputs = {"matrix": "matrix.toml", "a": "old", "b": "new", "args": "--starts 5"}
    return run_action(place, **{**inputs, "command": str(place.command), **more})


class TestAction:
    def test_no_change_passes_with_a_summary_and_files(self, place: Place) -> None:
        steps = gate(place, detect="10%")
        assert [step.returncode for step in steps] == [0, 0, 0], steps[-1].stderr
        assert (place.outputs["outcome"], place.outputs["exit-code"]) == ("passed", "0")
        assert "### isobench gate: passed" in place.summary
        assert "None of 1 figure got worse." in steps[-1].stdout
        for name in ("markdown", "junit", "json"):
            assert (place.folder / place.outputs[name]).stat().st_size > 0
        assert (place.folder / place.outputs["results"] / "report.html").exists()
        assert json.loads((place.folder / place.outputs["json"]).read_text())["detect"] == 0.1

    def test_a_regression_fails_the_verdict_with_an_annotation(self, place: Place) -> None:
        matrix(place, 1.3)
        steps = gate(place)
        assert [step.returncode for step in steps] == [0, 0, 1]
        assert place.outputs["outcome"] == "regression"
        assert "\n::error title=isobench gate%3A regression::fake/ready: +30.00 %25 (" in steps[-1].stdout
        assert "### isobench gate: regression" in place.summary
        root = ET.parse(place.folder / place.outputs["junit"]).getroot()  # noqa: S314 - our own output
        assert root.attrib["failures"] == "1"

    def test_an_unfit_host_is_no_pass(self, place: Place) -> None:
        host(place, load=99)
        steps = gate(place)
        assert steps[-1].returncode == 3
        assert place.outputs["outcome"] == "unfit"
        assert "The host was not fit" in place.summary

    def test_what_is_inconclusive_passes_unless_strict(self, place: Place) -> None:
        matrix(place, 0.97, 1.09)
        assert gate(place, args="--starts 1")[-1].returncode == 0
        assert place.outputs["outcome"] == "inconclusive"
        steps = gate(place, args="--starts 1 --strict", out="again")
        assert steps[-1].returncode == 3
        assert place.outputs["results"] == "again"

    @pytest.mark.parametrize(
        ("inputs", "words"),
        [
            ({"b": "newer"}, 'no isolator or workload "newer"'),
            ({"matrix": "none.toml"}, "none.toml: the matrix cannot be read"),
            ({"policy": "none.toml"}, "none.toml: the thresholds cannot be read"),
            ({"args": "--blocks 3"}, "3 blocks are too few"),
            ({"detect": "much"}, "--detect: found much"),
        ],
    )
    def test_a_mistake_in_an_input_ends_the_measurement(
        self, place: Place, inputs: dict[str, str], words: str
    ) -> None:
        steps = gate(place, **inputs)
        assert [step.returncode for step in steps] == [0, 2]
        assert words in steps[-1].stderr
        assert place.outputs["outcome"] == ""

    def test_an_input_is_never_executed(self, place: Place) -> None:
        hostile = "$(touch pwned) `touch pwned` ; touch pwned * "
        steps = gate(place, b=hostile, args=hostile, detect=hostile)
        assert steps[-1].returncode == 2
        assert not (place.folder / "pwned").exists()

    def test_every_input_is_used_and_every_output_is_written(self, place: Place) -> None:
        action = yaml.safe_load(ACTION.read_text())
        used = set(re.findall(r"inputs\.([\w-]+)", ACTION.read_text()))
        assert used == set(action["inputs"])
        gate(place)
        assert all(place.outputs.values())

    def test_the_one_of_the_action_is_installed_where_none_is_named(
        self, place: Place, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """From a copy, without an index: what it depends on is that of this environment."""
        step = yaml.safe_load(ACTION.read_text())["runs"]["steps"][0]
        output = place.folder / "output"
        env = {
            "GITHUB_ACTION_PATH": str(_checkout(tmp_path_factory.mktemp("checkout"))),
            "GITHUB_OUTPUT": str(output),
            "RUNNER_TEMP": str(place.folder / "temp"),
            "GATE_COMMAND": "",
            "PYTHONPATH": sysconfig.get_paths()["purelib"],
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_IGNORE_INSTALLED": "1",
            "HOME": str(place.folder),
        }
        done = bash(place, step["run"], env)
        assert done.returncode == 0, done.stderr
        assert output.read_text() == f"command={place.folder}/temp/isobench-env/bin/isobench\n"
        assert isobench.__version__ in done.stdout


SUDO = """#!/bin/sh
echo "sudo $@" >> {log}
[ "$1" = -n ] || exit 1
shift
[ "$1" != true ] || exit {password}
[ "$1" != --preserve-env=ISOBENCH_STATE ] || shift
PATH=/usr/bin:/bin
exec {command}
"""


class TestSudo:
    """The recipe on a runner that is not root; the sudo here changes nothing but the path, as a real one."""

    @pytest.fixture(autouse=True)
    def path(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        stub(place, "id", "#!/bin/sh\necho 1000\n")
        monkeypatch.setenv("PATH", f"{place.folder}:{os.environ['PATH']}")

    def sudo(self, place: Place, *, password: int = 0, command: str = '"$@"') -> Path:
        log = place.folder / "sudo.log"
        stub(place, "sudo", SUDO.format(log=log, password=password, command=command))
        return log

    def test_measures_as_root_by_the_whole_path_of_a_command_sudo_would_not_find(self, place: Place) -> None:
        log = self.sudo(place)
        steps = gate(place, command="isobench")
        assert [step.returncode for step in steps] == [0, 0, 0], steps[-1].stderr
        asked, measured, given = log.read_text().splitlines()
        assert asked == "sudo -n true"
        assert given == "sudo -n chown -hR 1000:1000 isobench-gate"  # a later job has to be able to remove it
        assert measured.startswith(
            f"sudo -n --preserve-env=ISOBENCH_STATE {place.command} ab --a old --b new "
        )

    def test_is_left_out_where_it_asks_for_a_password(self, place: Place) -> None:
        log = self.sudo(place, password=1)
        assert gate(place, command="isobench")[-1].returncode == 0
        assert log.read_text() == "sudo -n true\n"

    def test_what_it_started_is_ended_by_it(self, place: Place) -> None:
        """A runner's user may not signal what runs as root."""
        log = self.sudo(place)
        # A builtin of most shells; the script sees this function before it.
        script = place.folder / "measure.sh"
        script.write_text("kill() { return 1; }\n" + (ROOT / "ci" / "measure.sh").read_text())
        script.chmod(0o755)
        stub(place, "isobench", PATIENT)
        assert cancelled(place, ["sh", str(script)], signal.SIGTERM).returncode == 143
        assert re.search(r"^sudo -n kill -TERM \d+$", log.read_text(), re.MULTILINE)

    def test_code_of_what_it_cannot_start_is_no_regression(self, place: Place) -> None:
        self.sudo(place, command="false")
        steps = gate(place, command="isobench")
        assert [step.returncode for step in steps] == [0, 2]
        assert place.outputs["outcome"] == ""


VARIABLES = {
    "GATE_MATRIX": "matrix.toml",
    "GATE_A": "old",
    "GATE_B": "new",
    "GATE_ARGS": "--starts 5",
    "GATE_COMMAND": "./isobench",
}

PATIENT = """#!/bin/sh
mkdir isobench-gate
echo '{}' > isobench-gate/run.json
grep SigIgn /proc/$$/status > ignored
trap 'echo ended > ended; exit 143' TERM
touch begun
while :; do sleep 0.02; done
"""
"""An isobench that measures until it is told to end."""

DEFECT = """#!/bin/sh
[ "$1" = ab ] || exit 0
mkdir isobench-gate
echo '{}' > isobench-gate/run.json
exit 5
"""


def script(place: Place, name: str, **more: str) -> subprocess.CompletedProcess[str]:
    """One of the scripts by itself, as docs/gate-in-ci.md has it for any CI."""
    return bash(place, f"exec sh {ROOT}/ci/{name}.sh", {**VARIABLES, **more})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that passes."""
    made = checkout(tmp_path_factory.mktemp("whole"))
    done = script(made, "measure")
    assert done.returncode == 0, done.stderr
    return made.folder / "isobench-gate"


@contextmanager
def busy(place: Place) -> Iterator[None]:
    """Another run has the host."""
    lock = os.open(place.folder / "lab" / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def cancelled(place: Place, command: list[str], number: int, **more: str) -> subprocess.CompletedProcess[str]:
    """What has begun to measure, and is then sent a signal: it alone, as GitHub does."""
    env = {"PATH": os.environ["PATH"], **VARIABLES, "GATE_COMMAND": "isobench", **more}
    env["PATH"] = f"{place.folder}:{env['PATH']}"
    out = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=place.folder, env=env, stdout=out, stderr=out, text=True, start_new_session=True
    ) as process:
        try:
            deadline = time.monotonic() + 20
            while not (place.folder / "begun").exists():
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(number)
            said = process.communicate(timeout=20)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, *said)


class TestMeasure:
    @pytest.mark.parametrize("out", ["isobench-gate", "results/of today/"])
    def test_folder_of_an_earlier_run_is_refused_and_gives_no_verdict(
        self, place: Place, whole: Path, out: str
    ) -> None:
        folder = out.rstrip("/")
        shutil.copytree(whole, place.folder / folder)
        with busy(place):
            measured = script(place, "measure", GATE_OUT=out)
        assert measured.returncode == 2
        assert f"error: {folder}: the folder for the results is not empty" in measured.stderr
        assert f"remedy: rm -r '{folder}', or " in measured.stderr
        told = script(place, "verdict", GATE_OUT=out)
        assert (told.returncode, told.stdout) == (4, "")
        assert f"error: {folder}: no run was made" in told.stderr

        shutil.rmtree(place.folder / folder)
        assert script(place, "measure", GATE_OUT=out).returncode == 0
        assert script(place, "verdict", GATE_OUT=out).returncode == 0

    def test_host_that_another_run_has_is_no_run(self, place: Place) -> None:
        with busy(place):
            measured = script(place, "measure")
        assert measured.returncode == 3
        assert "another run is using this host" in measured.stderr
        assert script(place, "verdict").returncode == 4

    def test_files_of_an_earlier_verdict_are_not_left_beside_no_run(self, place: Place) -> None:
        files = [place.folder / f"isobench-gate.{kind}" for kind in ("md", "xml", "json")]
        for file in files:
            file.touch()
        with busy(place):
            assert gate(place)[-1].returncode == 3
        assert not any(file.exists() for file in files)
        assert place.outputs["results"] == ""

    def test_folder_that_is_there_and_empty_is_taken(self, place: Place) -> None:
        (place.folder / "isobench-gate").mkdir()
        assert script(place, "measure").returncode == 0

    @pytest.mark.parametrize("args", ["--plan", "--starts 5 --out elsewhere", "--help"])
    def test_end_without_a_run_in_the_folder_is_no_run(self, place: Place, args: str) -> None:
        done = script(place, "measure", GATE_ARGS=args)
        assert done.returncode == 2
        assert "error: isobench-gate: isobench ab ended with 0 and left no run there" in done.stderr
        assert "GATE_ARGS" in done.stderr

    @pytest.mark.parametrize("name", ["GATE_A", "GATE_B"])
    @pytest.mark.parametrize("shell", ["sh", "bash --posix"])
    def test_side_that_is_not_named_is_no_regression(self, place: Place, name: str, shell: str) -> None:
        env = {key: value for key, value in VARIABLES.items() if key != name}
        done = bash(place, f"{shell} {ROOT}/ci/measure.sh", env)
        assert done.returncode == 2
        assert f"error: {name}: " in done.stderr

    def test_place_that_cannot_be_written_is_no_regression(self, place: Place) -> None:
        done = script(place, "measure", GATE_OUT="matrix.toml/results")
        assert done.returncode == 2
        assert "error: matrix.toml/results: " in done.stderr

    def test_command_that_is_not_there_ends_it_with_2(self, place: Place) -> None:
        done = script(place, "measure", GATE_COMMAND="no-isobench")
        assert (done.returncode, done.stderr) == (2, "error: no-isobench: there is no such command\n")
        done = script(place, "verdict", GATE_COMMAND="no-isobench")
        assert done.returncode == 4  # as nothing was measured

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_job_that_is_cancelled_ends_what_measures_and_keeps_its_samples(
        self, place: Place, number: int
    ) -> None:
        stub(place, "isobench", PATIENT)
        step = yaml.safe_load(ACTION.read_text())["runs"]["steps"][1]
        assert step["id"] == "measure"
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", f"{step['run']}\n:"]
        output = place.folder / "output"
        more = {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_OUTPUT": str(output)}
        assert cancelled(place, command, number, **more).returncode == 143
        assert (place.folder / "ended").exists()
        assert output.read_text() == "results=isobench-gate\n"
        assert script(place, "verdict").returncode == 4

    def test_what_measures_hears_every_signal(self, place: Place) -> None:
        """The lock of the host tells others to stop a run by SIGINT."""
        stub(place, "isobench", PATIENT)
        cancelled(place, ["sh", f"{ROOT}/ci/measure.sh"], signal.SIGTERM)
        ignored = int((place.folder / "ignored").read_text().split()[1], 16)
        assert not ignored & (1 << signal.SIGINT - 1 | 1 << signal.SIGQUIT - 1)

    def test_samples_of_a_run_that_a_defect_ended_are_kept(self, place: Place) -> None:
        stub(place, "isobench", DEFECT)
        steps = gate(place)
        assert [step.returncode for step in steps] == [0, 5]
        assert (place.outputs["results"], place.outputs["outcome"]) == ("isobench-gate", "")


BEFORE_JSON = """#!/bin/sh
case " $* " in *" --json "*) {what} ;; esac
exec {python} {command} "$@"
"""


class TestVerdict:
    """What it cannot tell whole is neither a pass nor a regression."""

    @pytest.fixture(autouse=True)
    def measured(self, place: Place, whole: Path) -> None:
        shutil.copytree(whole, place.folder / "isobench-gate")

    def lacks(self, place: Place, words: str, **more: str) -> None:
        output = place.folder / "output"
        done = script(place, "verdict", **{"GITHUB_OUTPUT": str(output), **more})
        assert done.returncode == 4, done.stderr
        assert "error: " in done.stderr
        assert words in done.stderr
        assert not output.exists()

    @pytest.mark.parametrize(
        ("what", "words"),
        [
            ("exit 0", "ended with 0 and then, with --json, with 0"),
            ("kill -9 $$", "ended with 0 and then, with --json, with 137"),
            ("echo '{'; echo '  \"outcome\": \"passed\",'; exit 0", "isobench-gate.json: "),
            ("echo there is no room >&2; exit 2", "there is no room"),
        ],
    )
    def test_json_that_is_not_whole(self, place: Place, what: str, words: str) -> None:
        later = place.command.rename(place.folder / "later")
        stub(place, "isobench", BEFORE_JSON.format(what=what, python=sys.executable, command=later))
        self.lacks(place, words)

    def test_json_on_a_full_disk(self, place: Place) -> None:
        (place.folder / "isobench-gate.json").symlink_to("/dev/full")
        self.lacks(place, "No space left on device")

    def test_json_that_may_not_be_written(self, place: Place) -> None:
        (place.folder / "isobench-gate.json").mkdir()
        self.lacks(place, "isobench-gate.json")

    def test_outputs_on_a_full_disk(self, place: Place) -> None:
        done = script(place, "verdict", GITHUB_OUTPUT="/dev/full")
        assert done.returncode == 4
        assert "error: /dev/full: the outputs of the step cannot be written" in done.stderr

    def test_command_that_falls_at_its_start(self, place: Place) -> None:
        """Python ends with 1 then."""
        stub(place, "isobench", "#!/bin/sh\necho ModuleNotFoundError >&2\nexit 1\n")
        self.lacks(place, "ModuleNotFoundError")

    def test_command_that_is_not_there(self, place: Place) -> None:
        done = script(place, "verdict", GATE_COMMAND="no-isobench")
        assert (done.returncode, done.stderr) == (2, "error: no-isobench: there is no such command\n")

    def test_needs_no_python_of_its_own(self, place: Place) -> None:
        stub(place, "python3", "#!/bin/sh\nexit 127\n")
        done = script(place, "verdict", PATH=f"{place.folder}:{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lacking", ["python3", "pip", "isobench"])
def test_installation_that_fails_ends_with_2(place: Place, lacking: str) -> None:
    made = (
        'mkdir -p "$3/bin" && printf "#!/bin/sh\\nexit %s\\n" "$PIP" > "$3/bin/pip" && chmod +x "$3/bin/pip"'
    )
    stub(place, "python3", "#!/bin/sh\nexit 1\n" if lacking == "python3" else f"#!/bin/sh\n{made}\n")
    stub(place, "broken", "#!/bin/sh\nexit 1\n")
    env = {
        "PATH": f"{place.folder}:{os.environ['PATH']}",
        "PIP": str(int(lacking == "pip")),
        "RUNNER_TEMP": str(place.folder / "temp"),
        "GATE_COMMAND": "broken" if lacking == "isobench" else "",
    }
    done = bash(place, f"sh {ROOT}/ci/install.sh", env)
    assert done.returncode == 2
    assert "error: " in done.stderr


def stub(place: Place, name: str, text: str) -> Path:
    """A command of that name, before all others where the folder stands first on the path."""
    made = place.folder / name
    made.write_text(text)
    made.chmod(0o755)
    return made


def _checkout(folder: Path) -> Path:
    """The tracked files."""
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "-C", ROOT, "ls-files", "-z"], check=True, capture_output=True
    )
    for name in filter(None, listing.stdout.decode().split("\0")):
        if os.path.lexists(ROOT / name):  # not deleted in the work tree
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


class TestGitlab:
    def test_no_change_passes_and_leaves_what_the_job_keeps(self, place: Place) -> None:
        done = run_gitlab(place)
        assert done.returncode == 0, done.stderr
        artifacts = yaml.safe_load(GITLAB.read_text())["isobench-gate"]["artifacts"]
        for path in (*artifacts["paths"], artifacts["reports"]["junit"]):
            assert (place.folder / path).exists()

    def test_a_regression_fails_and_leaves_the_junit_file(self, place: Place) -> None:
        matrix(place, 1.3)
        assert run_gitlab(place, GATE_ARGS="--starts 5").returncode == 1
        assert '<failure message="+30.00' in (place.folder / "isobench-gate.xml").read_text()

    def test_isobench_is_installed_from_its_source_where_there_is_none(self, place: Place) -> None:
        later = place.command.rename(place.folder / "later")
        stub(place, "isobench", "#!/bin/sh\nexit 127\n")
        pip = f'#!/bin/sh\necho "$#: $@" >> {place.folder}/pip.log\nmv {later} {place.command}\n'
        stub(place, "pip", pip)
        done = run_gitlab(place, ISOBENCH_SOURCE="./a folder")
        assert done.returncode == 0, done.stderr
        assert (place.folder / "pip.log").read_text() == "2: install ./a folder\n"

    def test_source_that_is_not_said_is_asked_for_and_is_no_regression(self, place: Place) -> None:
        stub(place, "isobench", "#!/bin/sh\nexit 127\n")
        stub(place, "pip", f"#!/bin/sh\ntouch {place.folder}/pip.log\n")
        done = run_gitlab(place)
        assert done.returncode == 2
        assert "what to install isobench from" in done.stderr
        assert not (place.folder / "pip.log").exists()

    def test_what_is_installed_and_does_not_start_is_no_regression(self, place: Place) -> None:
        stub(place, "isobench", "#!/bin/sh\nexit 1\n")
        stub(place, "pip", "#!/bin/sh\n")
        assert run_gitlab(place, ISOBENCH_SOURCE="./here").returncode == 2

    def test_what_an_earlier_job_left_is_none_of_this_one(self, place: Place, whole: Path) -> None:
        shutil.copytree(whole, place.folder / "isobench-gate")
        (place.folder / "isobench-gate.xml").touch()
        with busy(place):
            assert run_gitlab(place).returncode == 3
        assert not list(place.folder.glob("isobench-gate*"))


def test_scripts_name_no_place_of_one_machine_and_stop_at_errors() -> None:
    for script in sorted((ROOT / "ci").glob("*.sh")):
        lines = script.read_text().splitlines()
        assert lines[0] == "#!/bin/sh"
        assert any(line.startswith("set -eu") for line in lines)
        assert not [line for line in lines if "/home/" in line or "/root/" in line]
