"""matrix.toml: what it turns into, and what is said about each mistake."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.benchmarks.registry import DEFAULT
from isobench.errors import MatrixError, UsageError
from isobench.isolators.fake import FakeOptions
from isobench.matrix import IsolatorHead, Matrix, builtin_matrix, narrow, parse_matrix, read_matrix


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """What is said about a matrix, a line each, without the name of the file."""
    path = tmp_path / "matrix.toml"
    path.write_text(text)
    with pytest.raises(MatrixError) as error:
        read_matrix(path)
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    assert error.value.exit_code == 2
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_matrix_without_a_key_is_every_builtin_isolator_and_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "matrix.toml"
    path.write_text("")

    matrix = read_matrix(path)

    names = ["bare", "chroot", "namespaces", "cgroups", "lxc", "runc", "qemu"]
    assert [entry.name for entry in matrix.isolators] == names
    assert [entry.name for entry in matrix.benchmarks] == ["audit", "round-trip", *DEFAULT]
    assert (matrix.blocks, matrix.timeout_s, matrix.seed) == (10, 60.0, None)


def test_every_key_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "matrix.toml"
    path.write_text("""
        [run]
        blocks = 3
        seed = 7
        timeout_s = 5
        benchmarks = ["fake", "throttling"]
        audit = false
        [[isolator]]
        kind = "fake"
        [[isolator]]
        kind = "fake"
        name = "fake-new"
        script = [{ value = 2.5 }, { status = "failed", reason = "exit status 1" }]
        [throttling]
        cpus = [0.5, 1]
    """)

    matrix = read_matrix(path)

    assert (matrix.blocks, matrix.timeout_s, matrix.seed) == (3, 5.0, 7)
    assert [(entry.name, entry.kind) for entry in matrix.isolators] == [
        ("fake", "fake"),
        ("fake-new", "fake"),
    ]
    options = matrix.isolators[1].options
    assert isinstance(options, FakeOptions)
    assert [attempt.value for attempt in options.script] == [2.5, None]
    assert matrix.benchmarks[1].params.model_dump()["cpus"] == (0.5, 1.0)


@pytest.mark.parametrize("quick", [True, False])
def test_builtin_matrix_is_valid_and_leaves_the_fake_out(*, quick: bool) -> None:
    matrix = builtin_matrix(quick=quick)

    assert len(matrix.isolators) == 7
    assert "fake" not in {entry.kind for entry in matrix.isolators} | {
        entry.name for entry in matrix.benchmarks
    }


@pytest.mark.parametrize("quick", [True, False])
def test_matrix_comes_back_the_same_from_its_record(*, quick: bool) -> None:
    matrix = builtin_matrix(quick=quick)

    recorded = json.loads(json.dumps(matrix.to_dict(), allow_nan=False))

    assert parse_matrix(recorded, "run.json") == matrix


@given(
    st.integers(1, 10_000),
    st.integers(0, 2**63 - 1),
    st.floats(0.001, 1e6),
    st.lists(st.floats(0, 10), min_size=1),
)
def test_any_matrix_comes_back_the_same(
    blocks: int, seed: int, timeout_s: float, values: list[float]
) -> None:
    matrix = parse_matrix(
        {
            "run": {"blocks": blocks, "seed": seed, "timeout_s": timeout_s, "benchmarks": ["fake"]},
            "isolator": [{"kind": "fake", "script": [{"value": value} for value in values]}],
        },
        "test",
    )

    assert parse_matrix(json.loads(json.dumps(matrix.to_dict())), "test") == matrix


@pytest.mark.parametrize(("blocks", "expected"), [(2, 2), (9, 5), (None, 5)])
def test_benchmark_is_measured_in_its_own_number_of_blocks_but_no_more_than_the_run_has(
    blocks: int | None, expected: int
) -> None:
    own = {} if blocks is None else {"blocks": blocks}
    run = {"blocks": 5, "audit": False, "benchmarks": ["fake", "memory", "startup", "throttling"]}
    tables = {"fake": own, "memory": own, "startup": own, "throttling": own}
    isolators = [{"kind": "fake"}, {"kind": "runc"}]
    matrix = parse_matrix({"run": run, "isolator": isolators, **tables}, "test")

    assert {cell.blocks for _, _, cells in matrix.cells() for cell in cells} == {expected}
    assert parse_matrix(json.loads(json.dumps(matrix.to_dict())), "test") == matrix


def test_short_matrix_spreads_starts_over_five_blocks_and_what_takes_long_over_two() -> None:
    blocks = {
        (isolator.name, benchmark.name): {cell.blocks for cell in cells}
        for isolator, benchmark, cells in builtin_matrix(quick=True).cells()
    }

    assert blocks["bare", "startup"] == blocks["qemu", "startup"] == {5}
    assert blocks["runc", "memory"] == blocks["runc", "throttling"] == {2}


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    lines = mistakes(
        tmp_path,
        """
        [run]
        blocks = 0
        benchmarks = ["memroy"]
        [[isolator]]
        kind = "runk"
        [[isolator]]
        kind = "runc"
        binray = "./runc"
        [startup]
        starts = -1
        [throtling]
        """,
    )

    assert [line.split(": found ")[0] for line in lines] == [
        "[run] blocks",
        "[[isolator]] 1 (runk) kind",
        "[[isolator]] 2 (runc) binray",
        "[throtling]",
        "[run] benchmarks",
        "[startup] starts",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[run]\nblocks = 0", "[run] blocks: found 0; allowed: greater than or equal to 1"),
        ('[run]\nblocks = "20"', '[run] blocks: found "20"; allowed: a valid integer'),
        ("[run]\nblocks = true", "[run] blocks: found true; allowed: a valid integer"),
        ("[run]\ntimeout_s = nan", "[run] timeout_s: found nan; allowed: a finite number"),
        ("[run]\ntimeout_s = -1", "[run] timeout_s: found -1; allowed: greater than 0"),
        ("[run]\nseed = -1", "[run] seed: found -1; allowed: greater than or equal to 0"),
        ("[memory]\nblocks = 0", "[memory] blocks: found 0; allowed: greater than or equal to 1"),
        ("[startup]\nblocks = true", "[startup] blocks: found true; allowed: a valid integer"),
        ("run = 3", "[run]: found 3; allowed: a table"),
        ("startup = 3", "[startup]: found 3; allowed: a table"),
        ("isolator = []", "isolator: found []; allowed: tables that begin with [[isolator]]"),
        (
            "[isolator]\nkind = 'bare'",
            'isolator: found {"kind": "bare"}; allowed: tables that begin with [[isolator]]',
        ),
        ("[[isolator]]\nname = 'x'", "[[isolator]] 1 (x) kind: found nothing; it has to be given"),
        (
            "[[isolator]]\nkind = 'bare'\nuser = 1",
            "[[isolator]] 1 (bare) user: found an unknown key; allowed: no key at all",
        ),
        (
            "[[isolator]]\nkind = 'bare'\n[[isolator]]\nkind = 'bare'",
            '[[isolator]] name: found "bare" 2 times; allowed: each name once',
        ),
        (
            "[[isolator]]\nkind = 'bare'\nname = '../x'",
            (
                '[[isolator]] 1 (../x) name: found "../x"; allowed: a letter or digit, '
                "then up to 47 letters, digits and characters of ._+-"
            ),
        ),
        (
            "[run]\nbenchmarks = ['fake', 'fake']",
            '[run] benchmarks: found "fake" 2 times; allowed: each name once',
        ),
        (
            "workload = 7",
            "workload: found 7; allowed: tables that begin with [[workload]]",
        ),
        (
            "[startup]\nworkloads = ['nginx']",
            '[startup] workloads[0]: found "nginx"; allowed: ready',
        ),
        (
            "[run]\nbenchmarks = ['fake']\n[[isolator]]\nkind = 'fake'\n[fake]\nworkloads = ['a', 'a']",
            "[fake]: makes 2 cells fake/fake/a for the isolator fake; allowed: each value once",
        ),
    ],
)
def test_mistake_is_told_with_table_key_found_and_allowed(tmp_path: Path, text: str, expected: str) -> None:
    assert mistakes(tmp_path, text) == [expected]


@pytest.mark.parametrize("quota", ["0", "-0.5", "nan", "inf", "'a lot'", "true"])
def test_impossible_cpu_quota_is_refused_with_table_and_key(tmp_path: Path, quota: str) -> None:
    (line,) = mistakes(tmp_path, f"[throttling]\ncpus = [0.5, {quota}]")

    assert line.startswith("[throttling] cpus[1]: found ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[run]\nblocks = = 3\n", ":2:10: not TOML: Invalid value"),
        ("[run", ":1:5: not TOML: Expected ']' at the end of a table declaration"),
        ("a = '", ":1:6: not TOML: Expected"),
        ("{}", ":1:1: not TOML: Invalid statement"),
        ("[run]\nblocks = 3\nblocks = 4\n", ":3:11: not TOML: Cannot overwrite a value"),
    ],
)
def test_text_that_is_not_toml_is_refused_with_line_and_column(
    tmp_path: Path, text: str, expected: str
) -> None:
    (line,) = mistakes(tmp_path, text)

    assert line.startswith(f"{tmp_path / 'matrix.toml'}{expected}")


def test_bytes_that_are_not_utf8_are_refused_with_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "matrix.toml").write_bytes(b"[run]\n# caf\xe9\n")

    with pytest.raises(MatrixError, match=r"matrix\.toml:2:6: not UTF-8"):
        read_matrix(tmp_path / "matrix.toml")


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(MatrixError, match="the matrix cannot be read"):
        read_matrix(tmp_path / name)


def test_keys_that_every_isolator_has_are_those_that_the_docs_list() -> None:
    page = (Path(__file__).parents[2] / "docs" / "matrix.md").read_text()
    table = page[page.index("| `[[isolator]]` |") : page.index("| `[[workload]]` |")]

    assert re.findall(r"\| `(\w+)` \|", table) == ["kind", "name", "agent"] == list(IsolatorHead.model_fields)


def test_examples_of_the_documentation_are_valid() -> None:
    page = (Path(__file__).parents[2] / "docs" / "matrix.md").read_text()
    examples = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)

    matrices = [parse_matrix(tomllib.loads(example), "matrix.md") for example in examples]

    assert [entry.name for matrix in matrices for entry in matrix.isolators] == [
        "bare",
        "runc",
        "runc-new",
        "steady",
    ]


def fakes() -> Matrix:
    tables = [{"kind": "fake", "name": name} for name in ("a", "b", "c")]
    return parse_matrix({"run": {"benchmarks": ["fake", "startup"]}, "isolator": tables}, "test")


def test_narrow_keeps_the_order_of_the_matrix() -> None:
    part = narrow(fakes(), isolators=["c", "a"], benchmarks=["fake"])

    assert [entry.name for entry in part.isolators] == ["a", "c"]
    assert [entry.name for entry in part.benchmarks] == ["fake"]
    assert narrow(fakes()) == fakes()


@pytest.mark.parametrize(
    ("isolators", "benchmarks", "expected"),
    [
        (["d"], [], 'no isolator "d" in this matrix; allowed: a, b, c'),
        (
            ["a"],
            ["startpu"],
            (
                'no benchmark "startpu" in this matrix (did you mean "startup"?); '
                "allowed: audit, round-trip, fake, startup"
            ),
        ),
    ],
)
def test_narrow_to_what_is_not_there_is_refused(
    isolators: list[str], benchmarks: list[str], expected: str
) -> None:
    with pytest.raises(UsageError) as error:
        narrow(fakes(), isolators, benchmarks)

    assert str(error.value) == expected


def test_plugin_that_cannot_be_loaded_is_a_mistake_of_the_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "broken_jail-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-jail\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[isobench.isolators]\njail = no_such_module:Jail\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("isobench.matrix.ISOLATORS", fresh_registry())

    (line,) = mistakes(tmp_path, "[[isolator]]\nkind = 'jail'")

    assert line.startswith(
        '[[isolator]] 1 (jail) kind: the isolator "jail" (no_such_module:Jail) of the package'
    )


def fresh_registry() -> object:
    """The registry as a new process has it: what it has seen of the environment is not known yet."""
    from isobench.isolators.contract import Isolator
    from isobench.isolators.registry import BUILTIN
    from isobench.plugins import Registry

    return Registry("isolator", Isolator, BUILTIN)
