"""Many hosts: what is made of their runs, and the page of it."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import SyntheticRun
from tests.perf.fleet import write_fleet

from isobench.errors import UsageError
from isobench.journal import RUN_FILE, SAMPLES_FILE, ToolRecord
from isobench.model import Sample, Status
from isobench.reports.brief import Measure
from isobench.reports.fleet import fleet
from isobench.reports.fleet_heat import ROWS, heats, thinned
from isobench.reports.fleet_html import page
from isobench.reports.fleet_values import Fleet, Place, State
from isobench.reports.origins import Origin, look
from isobench.reports.stats import Interval

STARTUP = Measure("startup", "ready", "", "ready", "second")
EVIL = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>\x1b[31m\u202e"


@pytest.fixture(scope="module")
def of_sixty(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Sixty hosts of four builds; one in fifty has a cell that failed."""
    folder = tmp_path_factory.mktemp("fleet")
    write_fleet(folder, 60, 200)
    return fleet(look([folder]))


def hosted(run: SyntheticRun, number: int, **facts: object) -> SyntheticRun:
    host = {**run.record.host, "hostname": f"lab-{number}", **facts}
    return replace(run, record=replace(run.record, run_id=f"run-{number}", host=host))


def of(runs: Sequence[SyntheticRun], folder: Path) -> Fleet:
    return fleet(look([run.write(folder / f"{place}") for place, run in enumerate(runs)]))


def column(found: Fleet, place: Place) -> dict[str, float]:
    return dict(found.figures[place])


def test_figures_are_times_the_bare_row_of_the_host_itself(of_sixty: Fleet) -> None:
    ratios = column(of_sixty, Place(STARTUP, "runc", "ratio"))
    floors = column(of_sixty, Place(STARTUP, "bare", "floor"))
    assert len(ratios) == len(floors) == 60
    # Hosts differ by a factor of nearly 2 in the floor, and by little in what isolation costs.
    assert max(floors.values()) / min(floors.values()) > 1.5
    assert all(value == pytest.approx(125, rel=0.15) for value in ratios.values())


def test_errors_of_limits_have_no_bare_row_and_stay_as_they_are(of_sixty: Fleet) -> None:
    (place,) = (p for p in of_sixty.figures if p.isolator == "runc" and "cpus=0.5," in p.measure.params)
    assert place.kind == "figure"
    assert median(of_sixty.figures[place].values()) == pytest.approx(-0.011, abs=0.001)


def test_spread_over_hosts_has_the_median_with_an_interval_over_hosts(of_sixty: Fleet) -> None:
    (found,) = (s for s in of_sixty.spreads if s.place == Place(STARTUP, "lxc", "ratio"))
    values = sorted(of_sixty.figures[found.place].values())
    assert found.hosts == 60
    assert found.median.value == pytest.approx(median(values))
    assert found.median.interval == Interval(values[21], values[-22])
    assert (found.least[0], found.greatest[0]) == (values[0], values[-1])
    assert of_sixty.figures[found.place][found.least[1]] == values[0]
    assert values[0] < found.tenth < found.ninetieth < values[-1]


def test_hosts_are_grouped_by_build_and_the_differing_facts_are_told(of_sixty: Fleet) -> None:
    groups = of_sixty.groups
    assert groups.keys == ("cpu.model", "kernel", "os", "machine")
    assert sum(group.hosts for group in groups.groups) == 60
    assert [group.hosts for group in groups.groups] == sorted((g.hosts for g in groups.groups), reverse=True)
    assert len({group.facts for group in groups.groups}) == len(groups.groups) == 4


def test_another_tool_is_another_build(made_run: SyntheticRun, tmp_path: Path) -> None:
    tools = {**made_run.record.tools, "runc": ToolRecord("/usr/sbin/runc", "2", "00" * 32)}
    other = hosted(made_run, 2)
    found = of([hosted(made_run, 1), replace(other, record=replace(other.record, tools=tools))], tmp_path)
    assert "tool runc" in found.groups.keys
    assert {host.group for host in found.hosts} == {1, 2}


def test_host_with_failed_cells_is_a_row_with_its_reason(of_sixty: Fleet) -> None:
    (host,) = of_sixty.troubled
    assert (host.name, host.state) == ("host-00049", State.PARTLY)
    assert host.reason == "1 cell failed: lxc-start exited with 1"
    assert len(of_sixty.ok) == 59


def only(keep: Callable[[Sample], bool]) -> Callable[[SyntheticRun], SyntheticRun]:
    return lambda run: run.only(keep)


def status(value: str) -> Callable[[SyntheticRun], SyntheticRun]:
    return lambda run: replace(run, record=replace(run.record, status=value))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        (only(lambda sample: sample.isolator != "bare"), State.NO_BARE, "crun is not installed"),
        (only(lambda sample: sample.status is not Status.OK), State.EMPTY, "not ready within 60 s"),
        (only(lambda _sample: False), State.EMPTY, "nothing was measured"),
        (status("interrupted"), State.UNFINISHED, "interrupted"),
        (status("running"), State.UNFINISHED, "killed"),
    ],
)
def test_host_that_is_not_as_it_should_be_says_why_and_the_others_stay(
    made_run: SyntheticRun,
    tmp_path: Path,
    change: Callable[[SyntheticRun], SyntheticRun],
    state: State,
    reason: str,
) -> None:
    found = of([hosted(made_run, 1), change(hosted(made_run, 2))], tmp_path)
    host = found.hosts[1]
    assert host.state is state
    assert reason in host.reason
    assert "lab-1" in column(found, Place(STARTUP, "runc", "ratio"))
    assert host.name in page(found)


def test_host_without_its_bare_row_has_no_ratio_and_none_is_made_up(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    bare_less = hosted(made_run, 2).only(lambda sample: sample.isolator != "bare")
    found = of([hosted(made_run, 1), bare_less], tmp_path)
    assert set(column(found, Place(STARTUP, "runc", "ratio"))) == {"lab-1"}
    assert not [p for p in found.figures if p.measure == STARTUP and p.kind == "figure"]


def test_no_host_with_a_bare_row_leaves_figures_as_they_are_and_says_so(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    runs = [hosted(made_run, n).only(lambda sample: sample.isolator != "bare") for n in (1, 2)]
    found = of(runs, tmp_path)
    assert set(column(found, Place(STARTUP, "runc", "figure"))) == {"lab-1", "lab-2"}
    assert {host.state for host in found.hosts} == {State.NO_BARE}
    assert "have no bare row" in page(found)


def damaged(folder: Path, how: str) -> None:
    path = folder / SAMPLES_FILE
    match how:
        case "gone":
            path.unlink()
        case "foreign":
            path.write_text('{"hello": 1}\n')
        case "newer":
            path.write_text(path.read_text().replace('"v": 1', '"v": 99', 1))
        case "nan":
            path.write_text(re.sub(r'"value": [\d.e-]+', '"value": NaN', path.read_text(), count=1))
        case "record":
            (folder / RUN_FILE).write_text("{}")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("gone", "cannot be read"),
        ("foreign", "not a sample of isobench"),
        ("newer", "newer isobench"),
        ("nan", "NaN"),
        ("record", "not the record of a run"),
    ],
)
def test_damaged_run_is_a_row_with_its_reason_and_the_rest_goes_on(
    tmp_path: Path, how: str, says: str
) -> None:
    folders = write_fleet(tmp_path, 3, 60)
    damaged(folders[1], how)
    found = fleet(look([tmp_path]))
    host = found.hosts[1]
    assert (host.name, host.state) == ("host-00001", State.UNREAD)
    assert says in host.reason
    assert found.runs == 2


def test_torn_run_counts_and_the_page_says_so(tmp_path: Path) -> None:
    folders = write_fleet(tmp_path, 2, 60)
    path = folders[1] / SAMPLES_FILE
    path.write_bytes(path.read_bytes()[:-20])
    found = fleet(look([tmp_path]))
    assert found.runs == 2
    assert "The journal of host-00001 is damaged" in page(found)


def test_host_that_did_not_answer_is_a_row_with_what_the_batch_says(tmp_path: Path) -> None:
    (folder,) = write_fleet(tmp_path, 1, 60)
    found = fleet(
        [*look([folder]), Origin(tmp_path, "lab-9", lack="unreachable (contact): no route to host")]
    )
    assert (found.hosts[1].name, found.hosts[1].state) == ("lab-9", State.UNREAD)
    assert "no route to host" in page(found)


def test_nothing_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of 2 folders holds a run that can be read"):
        fleet(look([tmp_path / "a", tmp_path / "b"]))


def test_one_folder_that_cannot_be_read_is_an_error_with_its_reason_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"^{tmp_path}/a: there is no such folder$"):
        fleet(look([tmp_path / "a"]))


def test_same_run_fetched_twice_counts_once_and_both_folders_are_named(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    found = of([hosted(made_run, 1), hosted(made_run, 1), hosted(made_run, 2)], tmp_path)
    assert len(found.hosts) == 2
    assert found.twice == ((tmp_path / "0", tmp_path / "1"),)
    assert "It counts once: 0 and 1." in page(found)


def test_newest_run_of_each_host_counts_and_older_ones_are_told(tmp_path: Path) -> None:
    write_fleet(tmp_path, 2, 60, runs=3)
    found = fleet(look([tmp_path]))
    assert (found.runs, found.older) == (2, 4)
    assert {host.brief.started[:10] for host in found.hosts if host.brief} == {"2026-01-03"}


def test_two_machines_that_claim_one_name_stay_two(made_run: SyntheticRun, tmp_path: Path) -> None:
    one, other = hosted(made_run, 1), hosted(made_run, 2, hostname="lab-1", memory_bytes=1 << 30)
    found = of([one, other], tmp_path)
    assert [host.name for host in found.hosts] == ["lab-1 (1)", "lab-1 (2)"]
    assert found.renamed == {"lab-1": ("lab-1 (1)", "lab-1 (2)")}
    assert "Several hosts go by one name" in page(found)


def test_host_far_from_its_like_is_found_among_them_only(made_run: SyntheticRun, tmp_path: Path) -> None:
    def slowed(number: int, factor: float, cpu: str) -> SyntheticRun:
        run = hosted(made_run, number, cpu={"model": cpu, "count": 2})
        wobble = 1 + 0.01 * (number % 5)
        return replace(
            run,
            samples=tuple(
                replace(s, value=s.value * wobble * (factor if s.isolator == "runc" else 1))
                if s.metric == "ready" and s.value is not None
                else s
                for s in run.samples
                if s.metric == "ready"
            ),
        )

    fast = [slowed(number, 1.0 + 0.01 * (number % 4), "fast") for number in range(10)]
    slow = [slowed(20 + number, 3.0 + 0.01 * (number % 4), "slow") for number in range(10)]
    odd = slowed(40, 2.0, "fast")
    found = of([*fast, *slow, odd], tmp_path)
    assert {(one.host, one.place.isolator) for one in found.outliers} == {("lab-40", "runc")}


_HOSTS = st.integers(1, 300)


@given(_HOSTS, st.integers(1, 6), st.integers(0, 2**32))
def test_thinning_keeps_the_extremes_and_the_order_and_is_not_much_longer_than_asked(
    hosts: int, builds: int, seed: int
) -> None:
    from random import Random

    random = Random(seed)  # noqa: S311 - made-up figures
    names = [f"h{number}" for number in range(hosts)]
    columns = {Place(STARTUP, name, "ratio"): {h: random.random() for h in names} for name in ("a", "b")}
    build_of = {name: 1 + random.randrange(builds) for name in names}
    level = {name: random.random() for name in names}
    kept = thinned(columns, build_of, level)
    assert len(kept) == len(set(kept)) <= ROWS + 2 * len(columns) + 2 * builds
    assert kept == sorted(kept, key=lambda name: (build_of[name], level[name]))
    for values in columns.values():
        assert min(values, key=lambda name: values[name]) in kept
        assert max(values, key=lambda name: values[name]) in kept
    if hosts <= ROWS:
        assert set(kept) == set(names)


def test_heat_map_says_how_far_a_field_is_from_the_median_of_its_column() -> None:
    place = Place(STARTUP, "runc", "ratio")
    values = {"far below": 0.5, "below": 0.9, "same": 1.0, "a little": 1.04, "above": 1.1, "far above": 2.0}
    heat = heats({place: {**values, "other": 1.0}}, dict.fromkeys([*values, "other"], 1))[0]
    shades = {row.host: row.fields[0].shade for row in heat.rows if row.fields[0]}
    assert shades == {
        "far below": -3,
        "below": -1,
        "same": 0,
        "a little": 0,
        "above": 1,
        "far above": 3,
        "other": 0,
    }


def test_a_thousand_isolators_are_cut_to_what_a_page_can_hold(made_run: SyntheticRun, tmp_path: Path) -> None:
    sample = next(s for s in made_run.samples if s.metric == "ready" and s.value)
    names = ["bare", *(f"label-{number}" for number in range(1200))]
    samples = tuple(
        replace(sample, isolator=name, cell=f"startup/{name}/ready", value=0.01 + n / 1e5, detail={})
        for n, name in enumerate(names)
    )
    found = of([replace(hosted(made_run, n), samples=samples) for n in (1, 2)], tmp_path)
    (heat,) = found.heats
    assert len(heat.places) == 16
    assert heat.places_left_out == 1201 - 16
    text = page(found)
    assert "1185 more isolators are left out" in text
    assert "more cells are left out" in text
    assert len(text) < 1_000_000


def test_foreign_text_is_escaped_everywhere(made_run: SyntheticRun, tmp_path: Path) -> None:
    def bad(number: int) -> SyntheticRun:
        run = hosted(made_run, number, hostname=f"{number}{EVIL}", kernel=EVIL)
        samples = tuple(
            replace(s, isolator=s.isolator + EVIL, workload=s.workload + EVIL, reason=s.reason and EVIL)
            for s in run.samples
        )
        return replace(run, samples=samples)

    text = page(of([bad(1), bad(2)], tmp_path))
    assert "<img" not in text
    assert "<script>alert" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "&lt;img src=x" in text


def test_equal_runs_give_equal_pages(tmp_path: Path) -> None:
    first, again = (tmp_path / name for name in ("a", "b"))
    for folder in (first, again):
        write_fleet(folder, 12, 60)
    pages = [page(fleet(look([folder]))) for folder in (first, again)]
    assert pages[0] == pages[1]


def test_page_has_no_number_that_is_none(of_sixty: Fleet) -> None:
    text = page(of_sixty)
    for value in re.findall(r'data-v="([^"]*)"', text):
        assert json.loads(f"[{value.replace(' ', ',')}]")
    assert "nan" not in re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL).lower().split()
