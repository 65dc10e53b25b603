"""The host's memory account, over texts as kernels write them."""

from collections.abc import Callable
from pathlib import Path

from isobench.benchmarks.hostmemory import (
    Pss,
    parse_kib_lines,
    parse_pageset_pages,
    parse_pss,
    parse_resident,
    read_bystanders_bytes,
    read_pss,
    used_bytes,
)

KIB = 1024

MEMINFO = """\
MemTotal:        1000000 kB
MemFree:          600000 kB
MemAvailable:     700000 kB
Buffers:            1000 kB
Cached:            90000 kB
Shmem:              8000 kB
SReclaimable:      20000 kB
HugePages_Total:       5
"""

ZONEINFO = """\
Node 0, zone   Normal
  pages free     548508
      nr_free_pages 548508
  pagesets
    cpu: 0
              count:    300
              high:     5082
              batch:    63
  vm stats threshold: 24
    cpu: 1
              count:    200
              high:     5271
              high_min: 5082
  node_unreclaimable:  0
Node 0, zone  Movable
  pagesets
    cpu: 0
              count: 7
"""

ROLLUP = """\
5609b4339000-7ffe1d4cb000 ---p 00000000 00:00 0                          [rollup]
Rss:                1688 kB
Pss:                 348 kB
Pss_Dirty:           112 kB
Pss_Anon:            100 kB
Pss_File:            236 kB
Pss_Shmem:            12 kB
"""


def test_kib_lines_of_other_shapes_are_left_out() -> None:
    assert parse_kib_lines("Name:\tsh\nRssAnon:\t     12 kB\nHugePages_Free:  3\n") == {"RssAnon": 12 * KIB}


def test_pagesets_of_all_zones_and_cpus_are_summed_and_nothing_else() -> None:
    assert parse_pageset_pages(ZONEINFO) == 507


def test_used_is_total_less_free_less_pagesets_less_cache_with_shmem_kept() -> None:
    free = 600_000 + 507 * 4
    cache = 1_000 + (90_000 - 8_000) + 20_000
    assert used_bytes(MEMINFO, ZONEINFO, 4096) == (1_000_000 - free - cache) * KIB


def test_used_does_not_change_when_free_pages_move_to_a_cpu_list() -> None:
    moved = MEMINFO.replace("600000", str(600_000 - 64 * 4))
    onto_list = ZONEINFO.replace("count:    300", "count:    364")
    assert used_bytes(moved, onto_list, 4096) == used_bytes(MEMINFO, ZONEINFO, 4096)


def test_used_grows_by_what_is_written_to_a_tmpfs() -> None:
    written = (
        MEMINFO.replace("600000", "599000")
        .replace("Cached:            90000", "Cached: 91000")
        .replace("Shmem:              8000", "Shmem: 9000")
    )
    assert used_bytes(written, ZONEINFO, 4096) - used_bytes(MEMINFO, ZONEINFO, 4096) == 1000 * KIB


def test_used_does_not_grow_by_what_is_read_from_a_file() -> None:
    read = MEMINFO.replace("600000", "599000").replace("Cached:            90000", "Cached: 91000")
    assert used_bytes(read, ZONEINFO, 4096) == used_bytes(MEMINFO, ZONEINFO, 4096)


def test_pss_is_split_into_own_and_page_cache() -> None:
    assert parse_pss(ROLLUP) == Pss(own=112 * KIB, file=236 * KIB)


def test_pss_of_a_zombie_is_nothing() -> None:
    assert parse_pss("") == Pss()


def test_pss_of_several_is_their_sum_and_of_one_that_ended_nothing(tmp_path: Path) -> None:
    for pid in (5, 6):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "smaps_rollup").write_text(ROLLUP)
    assert read_pss([5, 6, 7], tmp_path) == Pss(224 * KIB, 472 * KIB)


def test_resident_is_anonymous_and_shared_but_not_of_files() -> None:
    status = "Name:\tx\nVmRSS:\t 100 kB\nRssAnon:\t 30 kB\nRssFile:\t 60 kB\nRssShmem:\t 10 kB\n"
    assert parse_resident(status) == 40 * KIB
    assert parse_resident("Name:\tkthreadd\n") == 0


def test_bystanders_are_all_processes_but_the_instances(tmp_path: Path) -> None:
    for pid in (1, 8, 9):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"Name:\tx\nRssAnon:\t {pid} kB\n")
    (tmp_path / "10").mkdir()  # it has ended since the listing
    (tmp_path / "meminfo").write_text("MemTotal: 5 kB\n")
    assert read_bystanders_bytes([8], tmp_path) == 10 * KIB


def test_bystander_that_proc_hides_is_left_out(tmp_path: Path, hide: Callable[[Path], None]) -> None:
    for pid in (1, 8):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"RssAnon:\t {pid} kB\n")
    hide(tmp_path / "1")
    assert read_bystanders_bytes([], tmp_path) == 8 * KIB
