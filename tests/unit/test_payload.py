"""What workloads say, and what they should not."""

import pytest

from isobench.benchmarks.payload import PayloadError, hello, spun

SPUN = (
    '{"verb":"spun","lead_ns":1,"window_ns":2,"wall_ns":2,"gap_threshold_ns":10000,"lost_stalls":0,"steal_ms":null,"stalls":1,'
    '"longest_stall_ns":5,"p99_stall_ns":5,"stall_bins":[9,1],"most_in_period_ns":4,"most_in_10ms_ns":4,"timeline_ns":[],"cpu_ns":[3],"run_ns":[4],"stall_ns":[1],"progress":[9],"per_period_run_ns":[4,0]}'
)


def test_hello_gives_the_stamp_and_leaves_later_lines_alone() -> None:
    assert hello('{"verb":"ready","t":123,"pid":1}\nmore\n', "ready").t == 123


@pytest.mark.parametrize(
    "output",
    [
        "",
        "hello\n",
        "[]\n",
        "null\n",
        '{"verb":"ready"}\n',
        '{"verb":"ready","t":-1}\n',
        '{"verb":"ready","t":true}\n',
        '{"verb":"ready","t":"5"}\n',
        '{"verb":"ready","t":5',
        '\n{"verb":"ready","t":5}\n',
    ],
)
def test_hello_refuses_what_is_not_the_line(output: str) -> None:
    with pytest.raises(PayloadError, match="should be the JSON of 'ready'"):
        hello(output, "ready")


def test_hello_of_another_verb_is_refused() -> None:
    with pytest.raises(PayloadError, match="JSON of 'hold'"):
        hello('{"verb":"ready","t":5,"pid":1}\n', "hold")


def test_refusal_shows_the_first_bytes_escaped_and_no_more() -> None:
    with pytest.raises(PayloadError) as caught:
        hello("\x1b[31m\x00\xff" + "x" * 1000, "ready")
    assert r"'\x1b[31m\x00\xff" in str(caught.value)
    assert len(str(caught.value)) < 160


def test_refusal_of_silence_says_so() -> None:
    with pytest.raises(PayloadError, match="wrote nothing"):
        hello("", "ready")


def test_spun_is_read_and_unknown_fields_do_no_harm() -> None:
    found = spun(SPUN)
    assert (found.longest_stall_ns, found.cpu_ns, found.per_period_run_ns) == (5, [3], [4, 0])


@pytest.mark.parametrize("damage", [('"cpu_ns":[3]', '"cpu_ns":["3"]'), ('"run_ns":[4],', ""), ("}", "")])
def test_spun_damaged_is_refused(damage: tuple[str, str]) -> None:
    with pytest.raises(PayloadError, match="JSON of 'spun'"):
        spun(SPUN.replace(*damage))
