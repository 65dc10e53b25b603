from pathlib import Path

from tests.perf.fleet import write_fleet

from isobench import journal
from isobench.journal_writer import encode
from isobench.model import Status


def test_fleet_written_is_what_the_journal_writes(tmp_path: Path) -> None:
    (folder,) = write_fleet(tmp_path, 1, 200)
    run = journal.load(folder)
    lines = (folder / journal.SAMPLES_FILE).read_bytes()
    assert b"".join(encode(sample, sample.cell) for sample in run.samples) == lines
    assert len(run.samples) == 200
    assert not run.warnings


def test_fleet_of_hosts_and_runs_has_ids_of_their_own_and_every_fiftieth_a_failure(tmp_path: Path) -> None:
    folders = write_fleet(tmp_path, 50, 21 * 5, runs=2)
    runs = [journal.load(folder) for folder in folders]
    assert len({run.record.run_id for run in runs}) == 100
    assert len({run.record.host["hostname"] for run in runs}) == 50
    broken = {
        run.record.host["hostname"] for run in runs if any(s.status is not Status.OK for s in run.samples)
    }
    assert broken == {"host-00049"}


def test_fleet_written_again_is_the_same_to_the_byte(tmp_path: Path) -> None:
    first, again = (write_fleet(tmp_path / name, 2, 50, runs=3) for name in "ab")
    for one, other in zip(first, again, strict=True):
        for name in (journal.RUN_FILE, journal.SAMPLES_FILE):
            assert (one / name).read_bytes() == (other / name).read_bytes()
