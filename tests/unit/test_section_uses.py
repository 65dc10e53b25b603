"""The parts of a report about the uses of cgroups, from samples written down here."""

from dataclasses import replace

from tests.section_samples import contest, frozen, summary
from tests.section_samples import sample as line

from isobench.model import Sample, Scalar, Status
from isobench.reports.section import Section
from isobench.reports.sections import accounting, freeze, limits, weights
from isobench.reports.summary import Summary


def sample(cell: str, value: float, block: int = 0, /, **detail: Scalar) -> Sample:
    """Of a benchmark with one metric."""
    return line(cell, "x", value, block, "ratio", **detail)


def texts(section: Section | None, table: int = 0) -> list[tuple[str, ...]]:
    assert section
    return [(row.name, *(figure.text for figure in row.figures)) for row in section.tables[table].rows]


CPU, PIDS = "limits/lxc/appetite/limit=cpu", "limits/lxc/appetite/limit=pids"
CPUSET, MEMORY = "limits/lxc/appetite/limit=cpuset", "limits/lxc/appetite/limit=memory"


def test_run_without_such_benchmarks_has_no_such_parts() -> None:
    other = summary(sample("startup/lxc/ready", 1.0))
    assert limits.section(other) is None
    assert accounting.section(other) is None
    assert freeze.section(other) is None
    assert weights.section(other) is None


def test_share_of_cpu_is_judged_by_the_median_and_processes_by_the_worst_block() -> None:
    found = summary(
        *(sample(CPU, value, block, amount_unit="cpu") for block, value in enumerate((0.01, 0.02, 0.9))),
        *(sample(PIDS, value, block, amount_unit="processes") for block, value in enumerate((0.0, 0.0, 0.1))),
    )
    assert texts(limits.section(found)) == [("lxc", "kept, +2.00 %", "broken, +10.00 %")]


def test_memory_may_be_a_little_less_than_asked_and_never_more() -> None:
    assert texts(limits.section(summary(sample(MEMORY, -0.01)))) == [("lxc", "kept, -1.00 %")]
    assert texts(limits.section(summary(sample(MEMORY, 0.01)))) == [("lxc", "broken, +1.00 %")]


def test_cpuset_that_was_left_is_broken_and_names_the_cpu() -> None:
    found = summary(sample(CPUSET, 0.0, ran_outside=""), sample(CPUSET, 0.0, 1, ran_outside="3"))
    assert texts(limits.section(found)) == [("lxc", "broken, also on CPU 3")]


def test_overrun_is_told_with_its_end_and_the_neighbours_times() -> None:
    found = summary(
        sample(
            MEMORY,
            -0.5,
            asked=2.0**20,
            got=2.0**19,
            amount_unit="byte",
            ends="oom-kill",
            outside_before_p99_s=0.0001,
            outside_during_p99_s=0.002,
        )
    )
    assert texts(limits.section(found), 1) == [
        ("lxc, memory", "1.00 MiB", "512 KiB", "killed by the kernel", "100 µs", "2.00 ms")
    ]


def test_accounts_stand_side_by_side_with_a_dash_where_there_is_none() -> None:
    found = summary(
        sample("accounting/lxc/appetite/account=cpu", 0.001, account="cpu"),
        sample("accounting/lxc/appetite/account=memory", 0.02, account="memory"),
        sample("accounting/lxc/appetite/account=memory", 0.01, account="anonymous"),
        sample("accounting/runc/appetite/account=cpu", -0.001, account="cpu"),
    )
    assert texts(accounting.section(found)) == [
        ("lxc", "+0.10 %", "+2.00 %", "+1.00 %"),
        ("runc", "-0.10 %", "–", "–"),
    ]


def test_freeze_and_thaw_stand_over_the_number_of_tasks_and_each_way_has_its_row() -> None:
    found = summary(
        *frozen("freeze/lxc/herd/how=file/tasks=1", 0.001),
        *frozen("freeze/lxc/herd/how=file/tasks=10", 0.002),
        *frozen("freeze/lxc/herd/how=tool/tasks=1", 0.003),
        replace(
            sample("freeze/lxc/herd/how=tool/tasks=1", 0.0),
            metric="freeze",
            value=None,
            status=Status.FAILED,
            reason="frozen tasks went on: they counted 3 in 0.05 s",
        ),
    )
    section = freeze.section(found)
    assert texts(section) == [("lxc", "1.00 ms", "2.00 ms"), ("lxc, by its tool", "3.00 ms", "–")]
    assert texts(section, 1) == [("lxc", "2.00 ms", "4.00 ms"), ("lxc, by its tool", "6.00 ms", "–")]
    assert section
    assert section.notes[0].startswith("Frozen tasks stood still in 3 of 4 freezes, 150 ms in all; ")


def test_weights_show_what_was_promised_and_got_by_sibling() -> None:
    cell = "weights/lxc/appetite/on=one/ratio=1:3"

    found = weights.section(summary(*contest(cell, 0, 0.26), *contest(cell, 1, 0.26), *contest(cell, 2, 0.9)))
    name = "lxc, 1:3 on one CPU"
    assert texts(found) == [
        (name, "kept, +1.00 hundredths", "25.0 : 75.0", "26.0 : 74.0", "40.0 ms", "1024 : 3072")
    ]
    (row,) = texts(weights.section(summary(*contest(cell, 0, 0.28))))
    assert row[1] == "broken, +3.00 hundredths"


def test_limit_that_did_not_hold_the_workload_back_is_undecided() -> None:
    starved = sample(CPU, -0.5, bound=False)
    assert texts(limits.section(summary(starved))) == [("lxc", "undecided, host busy")]
    found = summary(starved, sample(CPU, 0.01, 1, bound=True))
    assert texts(limits.section(found)) == [("lxc", "kept, +1.00 %")]
    writes = "limits/lxc/appetite/limit=io"
    assert texts(limits.section(summary(sample(writes, -0.5)))) == [("lxc", "undecided, -50.00 %")]
    assert texts(limits.section(summary(sample(writes, 0.5)))) == [("lxc", "broken, +50.00 %")]


def test_shares_on_several_cpus_that_others_used_too_are_undecided() -> None:
    def busy(together: float) -> Summary:
        cell = "weights/lxc/appetite/on=all/ratio=1:1"
        pairs = ((1, 0.4), (2, 0.6))
        siblings = (
            sample(cell, 0.0, sibling=n, promised=0.5, got=got, cpus=2, cpus_together=together)
            for n, got in pairs
        )
        return summary(*(replace(one, metric="share_error") for one in siblings))

    assert [row[1] for row in texts(weights.section(busy(1.5)))] == [
        "undecided, host busy, -10.00 hundredths"
    ]
    assert [row[1] for row in texts(weights.section(busy(1.9)))] == ["broken, -10.00 hundredths"]
