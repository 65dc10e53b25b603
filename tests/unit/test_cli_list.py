"""`isobench list`, completion, and what they say of plug-ins."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from isobench.benchmarks import registry as benchmark_registry
from isobench.cli import app, main, names
from isobench.cli.options import options_of
from isobench.isolators import registry as isolator_registry
from isobench.isolators.contract import Isolator
from isobench.plugins import Registry


def listed(what: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert main(["list", what, "--json"]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def with_plugins(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    registry: Registry[Isolator[Any]] = Registry(
        "isolator", Isolator, isolator_registry.BUILTIN, found=lambda: points
    )
    monkeypatch.setattr(isolator_registry, "REGISTRY", registry)


@pytest.mark.parametrize("what", ["isolators", "benchmarks", "workloads"])
def test_every_name_has_a_description_and_is_built_in(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name, row in listed(what, capsys).items():
        assert row["description"], name
        assert "\n" not in row["description"]
        assert row["source"] == "built in"


def test_isolators_are_those_of_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    assert tuple(listed("isolators", capsys)) == tuple(isolator_registry.BUILTIN)


def test_benchmarks_are_those_of_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    assert tuple(listed("benchmarks", capsys)) == tuple(benchmark_registry.BUILTIN)


def test_listed_workloads_are_what_the_benchmarks_start(capsys: pytest.CaptureFixture[str]) -> None:
    from isobench.matrix import builtin_matrix
    from isobench.plan import THE_HOST

    started = {
        cell.workload
        for isolator, _, cells in builtin_matrix(quick=True).cells()
        for cell in cells
        if isolator is not THE_HOST
    }
    assert set(listed("workloads", capsys)) == started


def test_listing_needs_no_agent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ISOBENCH_AGENT", "/nowhere/isoagent")
    assert "bare" in listed("isolators", capsys)


@pytest.mark.parametrize(
    ("what", "name", "line"),
    [
        ("isolators", "runc", 'options: binary = "runc"'),
        ("benchmarks", "memory", "parameters: blocks (integer), instances = [1, 2, 4, 8], "),
    ],
)
def test_options_stand_below_the_description_in_its_column(
    what: str, name: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    number = next(number for number, text in enumerate(lines) if text.startswith(name))
    column = lines[number].index("built in  ") + len("built in  ")
    assert lines[number + 1].startswith(" " * column + line)


def test_isolator_without_options_takes_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "isolators"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [text.split()[0] for text in lines[:2]] == ["bare", "chroot"]


@pytest.mark.parametrize(
    ("what", "name", "expected"),
    [
        ("isolators", "bare", {}),
        (
            "isolators",
            "qemu",
            {
                "binary": ("text", "qemu-system-x86_64"),
                "accel": ('"auto" | "kvm" | "tcg"', "auto"),
                "machine": ("text", "pc"),
                "cpus": ("integer", 2),
                "memory_mib": ("integer", 128),
                "kernel": ("text", None),
                "limit": ('"process" | "vcpus"', "process"),
            },
        ),
        (
            "benchmarks",
            "memory",
            {
                "blocks": ("integer", None),
                "instances": ("list of integer", [1, 2, 4, 8]),
                "instances_vm": ("list of integer", [1, 2, 4, 8]),
            },
        ),
    ],
)
def test_options_in_json_have_name_type_and_default(
    what: str,
    name: str,
    expected: dict[str, tuple[str, object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = listed(what, capsys)[name]["options"]
    assert {one["name"]: (one["type"], one["default"]) for one in options} == expected
    assert not any(one["required"] for one in options)


class Strange(BaseModel):
    """Options such as another package might have."""

    needed: int
    steps: tuple[dict[str, int], ...] = ({"a": 1},)


def test_option_without_a_short_default_shows_its_type() -> None:
    assert [str(one) for one in options_of(Strange)] == [
        "needed (integer, required)",
        "steps (list of dict[str, int])",
    ]


def test_plugin_is_listed_with_its_package_and_the_docstring_of_its_class(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_plugins(monkeypatch, EntryPoint("mine", "isobench.isolators.bare:Bare", "isobench.isolators"))
    row = listed("isolators", capsys)["mine"]
    assert (row["source"], row["problem"]) == ("(unknown)", None)
    assert row["description"] == "Start the workload as an ordinary process (clone3 with CLONE_VFORK, exec)"


def test_broken_plugin_is_listed_with_its_reason_and_takes_no_other_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_plugins(monkeypatch, EntryPoint("broken", "no_such_module:X", "isobench.isolators"))
    assert main(["list", "isolators"]) == 0
    said = capsys.readouterr().out
    assert "bare" in said
    assert "cannot be used: " in said
    assert "no_such_module" in said


def complete(parameter: str, incomplete: str, matrix: str | None = None) -> list[str]:
    context = typer.Context(typer.main.get_command(app))
    context.args = [] if matrix is None else [matrix]
    return {"isolator": names.isolators, "benchmark": names.benchmarks}[parameter](context, incomplete)


def test_isolators_of_the_built_in_matrix_are_completed() -> None:
    assert complete("isolator", "c") == ["chroot", "cgroups"]
    assert complete("benchmark", "") == list(benchmark_registry.DEFAULT)


def test_isolators_of_the_matrix_on_the_line_are_completed(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text('[[isolator]]\nname = "runc-new"\nkind = "runc"\n[[isolator]]\nkind = "bare"\n')
    assert complete("isolator", "", str(file)) == ["runc-new", "bare"]


def test_completion_with_a_wrong_matrix_offers_the_built_in_names(tmp_path: Path) -> None:
    assert "bare" in complete("isolator", "", str(tmp_path / "none.toml"))


def test_matrix_files_and_folders_on_the_way_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lab").mkdir()
    for name in ("a.toml", "b.txt", ".hidden.toml", "lab/c.toml"):
        Path(name).touch()
    assert names.matrix_files("") == ["a.toml", "lab/"]
    assert names.matrix_files("lab/") == ["lab/c.toml"]
    assert names.matrix_files("nowhere/") == []


def test_result_folders_are_completed(run_folder: Path) -> None:
    assert names.result_folders(f"{run_folder.parent}/") == [str(run_folder)]


def test_shell_is_answered_with_the_names_of_the_matrix_on_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.toml").write_text('[[isolator]]\nname = "runc-new"\nkind = "runc"\n[[isolator]]\nkind = "bare"\n')
    monkeypatch.setenv("_ISOBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "isobench run m.toml --isolator r")
    monkeypatch.setenv("COMP_CWORD", "4")
    assert main([]) == 0
    assert capsys.readouterr().out.split() == ["runc-new"]


def test_completion_script_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--show-completion", "bash"]) == 0
    assert "_ISOBENCH_COMPLETE" in capsys.readouterr().out
