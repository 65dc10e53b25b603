"""The report's parts on CPU limits in detail and on requests under them, over samples written down here."""

from dataclasses import replace

import pytest
from tests.section_samples import SPELL, cells_of, served, spun, summary

from isobench.model import Sample
from isobench.reports import svg
from isobench.reports.load import _quotas
from isobench.reports.section import NO_FIGURE, Section, Table
from isobench.reports.sections import throttling_detail, throttling_requests
from isobench.reports.spells import Spell, bin_begin
from isobench.reports.summary import Isolator


def detail(*samples: Sample) -> Section:
    found = throttling_detail.section(summary(*samples))
    assert found is not None
    return found


def rows(table: Table) -> dict[str, list[str]]:
    return {row.name: [figure.text for figure in row.figures] for row in table.rows}


def test_each_cell_has_a_row_of_what_was_recorded() -> None:
    (table,) = detail(spun("lxc"), spun("lxc", 0.03, 1)).tables
    assert [column.title for column in table.columns] == [
        *("error", "inside to host", "use by period", "overshoot", "in any 10 ms"),
        *("stall p99", "stall longest", "stopped in", "waiting"),
    ]
    assert rows(table) == {
        "lxc, 0.5 CPUs / 100 ms": [
            *("+2.00 %", "-2.00 %", "0.90, 1.00, 1.10", "+30.00 %", "1.00"),
            *("50.0 ms", "51.0 ms", "18 of 20", "480 ms"),
        ]
    }


def test_period_in_which_nothing_could_be_used_is_a_figure_and_no_gap() -> None:
    (table,) = detail(spun("lxc", detail={**SPELL, "period_use_p10": 0.0})).tables
    assert rows(table)["lxc, 0.5 CPUs / 100 ms"][2] == "0.00, 1.00, 1.10"


def test_row_says_burst_and_threads_where_they_were_asked_for() -> None:
    (table,) = detail(spun("lxc", threads=2, burst_us=50_000), spun("lxc", threads=1)).tables
    assert list(rows(table)) == [
        "lxc, 0.5 CPUs / 100 ms, burst 50.0 ms, 2 threads",
        "lxc, 0.5 CPUs / 100 ms, 1 thread",
    ]


def test_steal_of_a_guest_is_a_column_where_a_guest_tells_it() -> None:
    (table,) = detail(spun("qemu", detail={**SPELL, "guest_steal_s": 0.2}), spun("lxc")).tables
    assert table.columns[-1].title == "stolen"
    assert [figures[-1] for figures in rows(table).values()] == ["200 ms", NO_FIGURE.text]


def test_readings_that_other_load_decided_are_left_out() -> None:
    held = spun("lxc", -0.5, detail={**SPELL, "bound": False})
    assert throttling_detail.section(summary(held)) is None
    (table,) = detail(held, spun("lxc", 0.01, 1)).tables
    assert rows(table)["lxc, 0.5 CPUs / 100 ms"][0] == "+1.00 %"


def test_run_of_before_stalls_were_told_has_no_such_part() -> None:
    assert throttling_detail.section(summary(spun("lxc", detail={"achieved_host_cpus": 0.5}))) is None
    assert throttling_requests.section(summary(spun("lxc"))) is None


def test_heat_map_needs_more_than_one_period() -> None:
    one = detail(spun("lxc"))
    assert [plot.key for plot in one.plots] == ["throttling-timeline", "throttling-stalls"]
    two = detail(spun("lxc"), spun("lxc", period_us=10_000))
    assert two.plots[0].key == "throttling-errors"


def test_pictured_is_the_limit_that_most_isolators_have_and_then_the_plainest() -> None:
    found = detail(
        spun("lxc", cpus=0.25),
        spun("runc", cpus=0.25),
        spun("lxc"),
        spun("runc", cpus=0.1),
        spun("lxc", cpus=0.1),
    )
    assert found.plots[0].caption.startswith("0.25 CPUs / 100 ms: ")
    found = detail(spun("lxc", burst_us=1_000), spun("lxc", threads=4), spun("lxc", threads=1))
    assert found.plots[0].caption.startswith("0.5 CPUs / 100 ms, 1 thread: ")


@pytest.mark.parametrize("width_px", [840, 340])
def test_pictures_are_drawn_in_both_widths_and_name_every_isolator(width_px: int) -> None:
    found = detail(
        *(
            spun(name, threads=threads, period_us=period)
            for name in ("lxc", "runc")
            for threads in (1, 8)
            for period in (10_000, 100_000)
        ),
        spun("lxc", -0.2, cpus=1.5),
    )
    assert len(found.plots) == 3
    for plot in found.plots:
        with svg.style():
            drawn = plot.draw(width_px)
        markup = svg.drawing(drawn, plot.key, plot.label).markup
        assert "lxc" in markup
        assert "runc" in markup


def test_heat_map_shows_of_several_thread_counts_the_worst_error_with_its_sign() -> None:
    found = detail(
        spun("lxc", 0.01, threads=1),
        spun("lxc", -0.04, threads=2),
        spun("lxc", 0.3, burst_us=9),
        spun("lxc", 0, period_us=10_000),
    )
    with svg.style():
        drawn = found.plots[0].draw(840)
    texts = {text.get_text() for axes in drawn.axes for text in axes.texts}
    assert texts == {"-4.00 %", "0.00 %"}


def spell(*samples: Sample) -> Spell:
    (cell,) = cells_of(*samples)
    return Spell(Isolator("lxc", None), cell, tuple(samples))


def test_timeline_has_a_line_for_every_thread_even_one_that_never_stood_still() -> None:
    told = spell(spun("lxc", detail={**SPELL, "threads": 2, "timeline_us": "1:5-10 1:20-30"}))
    assert told.timeline() == {0: [], 1: [(5e-6, 10e-6), (20e-6, 30e-6)]}


def test_stalls_are_counted_a_second_over_all_readings() -> None:
    assert spell(spun("lxc"), spun("lxc", block=1)).stall_bins() == {53: 2.0, 102: 10.0}


@pytest.mark.parametrize("word", ["<script>", "1:2:3", "-1:5", "0:5-", "٣:1-2", "1:2-3-4", f"1:{'9' * 5000}"])
def test_word_of_stalls_that_is_none_is_left_out_and_the_others_count(word: str) -> None:
    odd = {**SPELL, "stall_bins": f"53:2 {word}", "timeline_us": f"{word} 0:5-10"}
    told = spell(spun("lxc", detail=odd))
    assert told.stall_bins() == {53: 2.0}
    assert told.timeline() == {0: [(5e-6, 1e-5)]}


@pytest.mark.parametrize(("place", "ns"), [(52, 8192), (53, 10240), (55, 14336), (56, 16384)])
def test_bins_begin_at_quarters_of_an_octave(place: int, ns: int) -> None:
    assert bin_begin(place) == pytest.approx(ns / 1e9)


def test_main_table_has_of_each_limit_the_plainest_cell() -> None:
    found = list(
        _quotas(
            cells_of(
                spun("lxc", 0.3, threads=1, burst_us=5),
                spun("lxc", 0.2, threads=4),
                spun("lxc", 0.1, threads=2),
                spun("lxc", 0.4, threads=2, cpus=1.0),
            )
        )
    )
    assert [(one.asked_cpus, one.error.median.value) for one in found] == [(0.5, 0.1), (1.0, 0.4)]


def test_requests_have_a_row_for_each_limit_and_tell_what_it_adds() -> None:
    found = throttling_requests.section(
        summary(
            *served("lxc", 0.0004, 0.010, cpus=0.3, period_us=10_000),
            *served("lxc", 0.0002, 0.004, cpus=0.3, period_us=10_000, burst_us=3_000),
            *served("lxc", 0.0003, 0.001),
        )
    )
    assert found is not None
    (table,) = found.tables
    assert rows(table) == {
        "lxc, no limit": ["300 µs", "1.00 ms", "–", "–", "–"],
        "lxc, 0.3 CPUs / 10 ms": ["400 µs", "10.0 ms", "–", "30 of 400", "0 of 1"],
        "lxc, 0.3 CPUs / 10 ms, burst 3.00 ms": ["200 µs", "4.00 ms", "–", "30 of 400", "0 of 1"],
    }
    assert [row.figures[0].small for row in table.rows[1:]] == ["+100 µs", "-100 µs"]


def test_requests_that_needed_all_the_limit_gives_are_told() -> None:
    samples = served("lxc", 0.1, 0.2, cpus=0.3, period_us=10_000)
    over = [replace(one, detail={**one.detail, "overloaded": True}) for one in samples]
    found = throttling_requests.section(summary(*over))
    assert found is not None
    (row,) = rows(found.tables[0]).values()
    assert row[-1] == "1 of 1"
