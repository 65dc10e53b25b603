"""The host's memory account, over texts as kernels write them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from isobench.benchmarks.hostmemory import (
    Pss,
    parse_guest_ram,
    parse_host,
    parse_kib_lines,
    parse_pageset_pages,
    parse_pss,
    parse_resident,
    read_available,
    read_bystanders,
    read_peak_bytes,
    read_pss,
    read_stacks_mapped,
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
SUnreclaim:         7000 kB
KernelStack:        1600 kB
PageTables:         2500 kB
SecPageTables:       500 kB
VmallocUsed:        4000 kB
Percpu:              688 kB
HugePages_Total:       5
"""

SOCKSTAT = """\
sockets: used 17
TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 3
UDP: inuse 0 mem 2
UDPLITE: inuse 0
FRAG: inuse 0 memory 0
"""

SMAPS = """\
7f0000000000-7f0008000000 ---p 00000000 00:00 0
Pss:                   4 kB
7f1000000000-7f1008000000 rw-p 00000000 00:00 0
Size:             131072 kB
Pss:               98304 kB
Pss_Dirty:         98304 kB
VmFlags: rd wr mr mw me ac sd hg
7f2000000000-7f2000001000 rw-p 00000000 00:00 0
Pss:                   8 kB
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
    found = parse_pss(ROLLUP)
    assert found == Pss(anon=100 * KIB, shmem=12 * KIB, file=236 * KIB)
    assert found.own == 112 * KIB


def test_pss_of_a_zombie_is_nothing() -> None:
    assert parse_pss("") == Pss()


def test_pss_of_several_is_their_sum_and_of_one_that_ended_nothing(tmp_path: Path) -> None:
    for pid in (5, 6):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "smaps_rollup").write_text(ROLLUP)
    assert read_pss([5, 6, 7], tmp_path) == Pss(200 * KIB, 24 * KIB, 472 * KIB)


def test_resident_is_anonymous_and_shared_but_not_of_files() -> None:
    status = "Name:\tx\nVmRSS:\t 100 kB\nRssAnon:\t 30 kB\nRssFile:\t 60 kB\nRssShmem:\t 10 kB\n"
    assert parse_resident(status) == Pss(30 * KIB, 10 * KIB)
    assert parse_resident("Name:\tkthreadd\n") == Pss()


def test_bystanders_are_all_processes_but_the_instances(tmp_path: Path) -> None:
    for pid in (1, 8, 9):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"Name:\tx\nRssAnon:\t {pid} kB\n")
    (tmp_path / "10").mkdir()  # it has ended since the listing
    (tmp_path / "meminfo").write_text("MemTotal: 5 kB\n")
    assert read_bystanders([8], tmp_path) == Pss(10 * KIB)


def test_bystander_that_proc_hides_is_left_out(tmp_path: Path, hide: Callable[[Path], None]) -> None:
    for pid in (1, 8):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"RssAnon:\t {pid} kB\n")
    hide(tmp_path / "1")
    assert read_bystanders([], tmp_path) == Pss(8 * KIB)


def test_kernel_memory_is_told_by_what_it_is_for_and_stacks_are_no_areas_twice() -> None:
    found = parse_host(MEMINFO, ZONEINFO, SOCKSTAT, 4096, stacks_mapped=True)
    assert found.used == used_bytes(MEMINFO, ZONEINFO, 4096)
    assert {name: (value or 0) // KIB for name, value in found.kernel.items()} == {
        "kernel_slab": 7000,
        "kernel_page_tables": 3000,
        "kernel_stacks": 1600,
        "kernel_percpu": 688,
        "kernel_vmalloc": 2400,
    }
    assert (found.shmem, found.cache, found.slab_reclaimable) == (8000 * KIB, 83_000 * KIB, 20_000 * KIB)


def test_buffers_of_sockets_are_pages_of_tcp_and_udp() -> None:
    assert parse_host(MEMINFO, ZONEINFO, SOCKSTAT, 4096, stacks_mapped=True).sockets == 5 * 4096


@pytest.mark.parametrize(
    ("areas", "stacks_mapped", "vmalloc"),
    [("4000", None, None), ("0", True, None), ("4000", False, 4000 * KIB)],
)
def test_areas_of_the_kernel_are_unknown_where_stacks_cannot_be_told_from_them(
    areas: str,
    stacks_mapped: bool | None,  # noqa: FBT001 - a parameter of the test
    vmalloc: int | None,
) -> None:
    meminfo = MEMINFO.replace("4000", areas)
    assert parse_host(meminfo, ZONEINFO, "", 4096, stacks_mapped=stacks_mapped).vmalloc == vmalloc


def test_stacks_are_found_among_the_areas_by_who_took_them(tmp_path: Path) -> None:
    assert read_stacks_mapped(tmp_path) is None
    (tmp_path / "vmallocinfo").write_text("0x1-0x2   20480 kernel_clone+0x94/0x3e0 pages=4 vmalloc N0=4\n")
    assert read_stacks_mapped(tmp_path) is True
    (tmp_path / "vmallocinfo").write_text("0x1-0x2    8192 bpf_prog_alloc+0x39/0x230 pages=1 vmalloc N0=1\n")
    assert read_stacks_mapped(tmp_path) is False


def test_ram_of_a_guest_is_the_writable_mapping_of_its_size() -> None:
    assert parse_guest_ram(SMAPS, 128 * KIB * KIB) == 98304 * KIB
    assert parse_guest_ram(SMAPS, 64 * KIB * KIB) is None


@pytest.mark.parametrize("resident", [100, 132, 204], ids=["less", "as much", "more than the kernel counted"])
def test_peak_is_the_high_water_mark_or_what_is_resident_and_of_one_that_ended_nothing(
    tmp_path: Path, resident: int
) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5/status").write_text("VmHWM:\t   132 kB\nVmRSS:\t   100 kB\n")
    (tmp_path / "5/smaps_rollup").write_text(
        f"00400000-7fff0000 ---p 00000000 00:00 0 [rollup]\nRss: {resident} kB\n"
    )
    assert (read_peak_bytes(5, tmp_path), read_peak_bytes(6, tmp_path)) == (max(132, resident) * KIB, 0)


def test_available_memory_is_told_with_the_total(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    assert read_available(tmp_path) == (700_000 * KIB, 1_000_000 * KIB)
