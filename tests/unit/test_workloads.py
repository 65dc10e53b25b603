"""A user's workloads: what a table may say, what is made of it, and where its program is found."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from isobench.benchmarks.startup import StartupParams
from isobench.engine import resume, run
from isobench.errors import ImageError, MatrixError, UsageError
from isobench.fakelab import fake_lab
from isobench.matrix import Matrix, parse_matrix
from isobench.model import Cell, Ready, Sample
from isobench.outcome import Outcome
from isobench.workloads import VERBS, WorkloadEntry, make_ready

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="an import keeps owners, which needs root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small root file system, with a program and ways that lead to it and out."""
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    program = root / "usr/bin/server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (root / "bin").symlink_to("/usr/bin")
    (root / "usr/bin/notes").write_text("not a program")
    (root / "usr/bin/outside").symlink_to("/bin/sh")
    return root


def tables(root: Path, **workload: object) -> Mapping[str, Any]:
    table = {"name": "web", "rootfs": str(root), "argv": ["/usr/bin/server"], **workload}
    return {
        "run": {"benchmarks": ["startup"], "audit": False},
        "isolator": [{"kind": "bare"}],
        "workload": [{key: value for key, value in table.items() if value is not None}],
        "startup": {"workloads": ["ready", "web"]},
    }


def mistakes(root: Path, **workload: object) -> list[str]:
    with pytest.raises(MatrixError) as error:
        parse_matrix(tables(root, **workload), "m.toml")
    return [line.removeprefix("m.toml: [[workload]] 1 (web) ") for line in str(error.value).splitlines()]


def test_workload_is_a_cell_of_each_benchmark_that_names_it_and_nothing_else(root: Path) -> None:
    matrix = parse_matrix(tables(root, ready={"port": 80}), "m.toml")
    assert [cell.id for _, _, cells in matrix.cells() for cell in cells] == [
        "startup/bare/ready",
        "startup/bare/web",
    ]
    assert [entry.name for entry in matrix.used_workloads()] == ["web"]


def test_workload_no_benchmark_names_is_not_imported(root: Path) -> None:
    matrix = parse_matrix({**tables(root), "startup": {}}, "m.toml")
    assert (len(matrix.workloads), matrix.used_workloads()) == (1, ())


@pytest.mark.parametrize(
    ("ready", "condition"),
    [
        (None, Ready("output")),
        ({"output": True}, Ready("output")),
        ({"line": "up (in [0-9]+ ms)?$"}, Ready("line", pattern="up (in [0-9]+ ms)?$")),
        ({"port": 6379}, Ready("port", port=6379)),
        ({"exit": True}, Ready("exit")),
    ],
)
def test_matrix_of_run_json_means_the_same_from_any_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch, ready: object, condition: Ready
) -> None:
    monkeypatch.chdir(root.parent)
    given = tables(Path("root"), ready=ready, env={"A": "b c"}, argv=None)
    matrix = parse_matrix(given, "m.toml", Path())
    (entry,) = matrix.workloads
    assert entry == WorkloadEntry("web", root, None, {"A": "b c"}, condition)
    assert parse_matrix(matrix.to_dict(), "run.json", Path("/nowhere")) == matrix


def test_root_file_system_is_looked_for_beside_the_matrix(root: Path) -> None:
    matrix = parse_matrix(tables(Path("root")), "m.toml", root.parent)
    assert matrix.workloads[0].rootfs == root


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        (
            {"rootfs": "/no/such.tar"},
            'rootfs: found "/no/such.tar"; there is no file or directory /no/such.tar',
        ),
        ({"argv": []}, "argv: found []; allowed: "),
        ({"argv": "server"}, 'argv: found "server"; allowed: '),
        ({"argv": ["a\nb"]}, r'argv[0]: found "a\nb"; allowed: no newline and no other control character'),
        (
            {"argv": ["{n}"]},
            'argv[0]: found "{n}"; {n} stands for the number of an instance in isobench itself',
        ),
        ({"env": {"A": "x\ny"}}, r'env.A: found "x\ny"; allowed: no newline'),
        ({"env": {"1A": "x"}}, "env.1A"),
        ({"env": {"A": 5}}, "env.A: found 5; allowed: "),
        ({"cwd": "/"}, "cwd: found an unknown key; allowed: name, rootfs, argv, env, ready"),
        ({"ready": {}}, "ready: allowed: exactly one of output = true, line = "),
        ({"ready": {"port": 80, "exit": True}}, "ready: allowed: exactly one of "),
        ({"ready": {"port": 0}}, "ready port: found 0; allowed: greater than or equal to 1"),
        ({"ready": {"port": 65536}}, "ready port: found 65536; allowed: less than or equal to 65535"),
        ({"ready": {"port": "80"}}, 'ready port: found "80"; allowed: '),
        ({"ready": {"exit": False}}, "ready exit: found false; allowed: "),
        ({"ready": {"socket": 80}}, "ready socket: found an unknown key"),
        ({"ready": "output"}, 'ready: found "output"; allowed: a table'),
    ],
)
def test_mistake_names_the_key_what_was_found_and_what_is_allowed(
    root: Path, workload: dict[str, object], expected: str
) -> None:
    (line,) = mistakes(root, **workload)
    assert line.startswith(expected)


def test_bad_pattern_is_a_mistake_before_anything_is_started(
    root: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOBENCH_AGENT", str(agent))
    (line,) = mistakes(root, ready={"line": "up (now"})
    assert line.startswith('ready.line: found "up (now"; not an extended regular expression: ')


def test_verb_of_the_agent_is_no_name_for_a_workload(root: Path) -> None:
    with pytest.raises(MatrixError, match="a workload of isobench itself has that name"):
        parse_matrix(tables(root, name="hold"), "m.toml")


def test_every_verb_of_the_agent_is_reserved(agent: Path) -> None:
    usage = subprocess.run([agent], capture_output=True, text=True, check=False).stderr
    verbs = {line.split()[0] for line in usage.splitlines() if line.startswith("  ")}
    assert "ready" in verbs
    assert verbs <= set(VERBS)


def test_benchmark_that_names_no_workload_there_is_gets_a_mistake(root: Path) -> None:
    given = {**tables(root), "startup": {"workloads": ["wep"]}}
    with pytest.raises(MatrixError, match=r'workloads\[0\]: found "wep" \(did you mean "web"\?\)'):
        parse_matrix(given, "m.toml")


def test_two_workloads_of_one_name_are_a_mistake(root: Path) -> None:
    given = dict(tables(root))
    given["workload"] = given["workload"] * 2
    with pytest.raises(MatrixError, match='name: found "web" 2 times'):
        parse_matrix(given, "m.toml")


def test_startup_starts_the_agents_own_by_default() -> None:
    assert StartupParams().workloads == ("ready",)


@needs_root
def test_bundle_has_the_words_of_the_matrix_and_a_digest(root: Path, tmp_path: Path) -> None:
    entry = WorkloadEntry("web", root, ("/usr/bin/server", "-v"), {"A": "b"}, Ready("port", port=80))
    found = make_ready([entry], tmp_path / "cache")["web"]
    assert (found.bundle.argv, found.bundle.env) == (("/usr/bin/server", "-v"), ("A=b",))
    assert (found.bundle.own, found.bundle.ready) == (True, Ready("port", port=80))
    assert len(found.digest) == 64
    assert (found.bundle.root / "usr/bin/server").is_file()


@needs_root
@pytest.mark.parametrize(
    ("name", "path", "found"),
    [
        ("server", None, "/usr/bin/server"),
        ("server", "/bin", "/bin/server"),
        ("server", "/sbin:relative:/usr/bin", "/usr/bin/server"),
    ],
)
def test_bare_name_is_found_on_the_path_inside(
    root: Path, tmp_path: Path, name: str, path: str | None, found: str
) -> None:
    entry = WorkloadEntry("web", root, (name,), {"PATH": path} if path else {})
    assert make_ready([entry], tmp_path / "cache")["web"].bundle.argv == (found,)


@needs_root
@pytest.mark.parametrize("name", ["nothing", "notes", "outside"])
def test_program_that_is_not_inside_is_refused_though_the_host_may_have_it(
    root: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match=rf"\[\[workload\]\] web: there is no program {name} in ") as error:
        make_ready([WorkloadEntry("web", root, (name,))], tmp_path / "cache")
    assert error.value.remedy


@needs_root
def test_root_file_system_that_does_not_say_what_to_start_needs_an_argv(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not say what to start") as error:
        make_ready([WorkloadEntry("web", root)], tmp_path / "cache")
    assert "argv = " in str(error.value.remedy)


class Silent:
    """Watches a run and says nothing."""

    def planned(self, cells: Sequence[Cell], blocks: int, expected_s: float) -> None: ...
    def cell_started(self, cell: Cell, block: int, order: int, left_s: float) -> None: ...
    def cell_finished(self, cell: Cell, samples: Sequence[Sample]) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...


def played(root: Path) -> Matrix:
    """A run that starts nothing, with cells about a workload all the same."""
    given = {
        **tables(root),
        "run": {"benchmarks": ["fake"], "blocks": 1},
        "isolator": [{"kind": "fake"}],
        "startup": {},
        "fake": {"workloads": ["web"]},
    }
    return parse_matrix(given, "m.toml")


def broken_off(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "status": "interrupted"}))


@needs_root
def test_run_records_what_it_imported_and_resume_goes_on_with_the_same(root: Path, tmp_path: Path) -> None:
    lab, out = fake_lab(tmp_path / "host"), tmp_path / "out"
    record = run(played(root), out, Silent(), lab).record
    assert record.workloads["web"].argv == ("/usr/bin/server",)
    broken_off(out)
    assert resume(out, Silent(), lab).record.workloads == record.workloads


@needs_root
def test_resume_refuses_another_root_file_system_by_the_name_of_the_workload(
    root: Path, tmp_path: Path
) -> None:
    lab, out = fake_lab(tmp_path / "host"), tmp_path / "out"
    run(played(root), out, Silent(), lab)
    broken_off(out)
    (root / "usr/bin/notes").write_text("changed")
    with pytest.raises(UsageError, match="the command of web is not what it was when the run began"):
        resume(out, Silent(), lab)


@needs_root
def test_root_file_system_that_cannot_be_imported_ends_the_run_before_anything_is_written(
    tmp_path: Path,
) -> None:
    archive = tmp_path / "cut.tar"
    archive.write_bytes(b"\x1f\x8b\x08 no archive")
    with pytest.raises(ImageError) as error:
        run(played(archive), tmp_path / "out", Silent(), fake_lab(tmp_path / "host"))
    assert (str(archive) in str(error.value), error.value.exit_code) == (True, 2)
    assert not (tmp_path / "out").exists()
