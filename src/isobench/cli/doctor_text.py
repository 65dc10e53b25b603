"""The findings of ``isobench doctor`` as a page for a terminal or a pipe."""

from collections import defaultdict
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from isobench.cli.health import Health
from isobench.cli.output import columns, printable
from isobench.knobs import Knob
from isobench.model import Readiness, Status

_WORDS = {Status.OK: "usable"}
_STYLES = {Status.OK: "green", Status.UNSUPPORTED: "dim"}
_GIB = 1 << 30


def show(health: Health, console: Console) -> None:
    """Print everything: the host, the grid, each reason with its remedy, the knobs, and a last line."""
    columns(console, [(Text(name, style="bold"), Text(said)) for name, said in _host_rows(health)])
    console.print()
    columns(console, list(_grid(health)))
    _show_lacks(health, console)
    _show_knobs(health, console)
    console.print()
    total = len(health.isolators)
    console.print(f"{health.usable} of {total} isolators can be measured here.", style="bold", soft_wrap=True)


def _host_rows(health: Health) -> Iterator[tuple[str, str]]:
    host = health.host
    cpu = host["cpu"]
    yield "host", f"{host['os']}, kernel {host['kernel']}, {host['machine']}"
    memory_gib = host["memory_bytes"] / _GIB
    yield "", f"{cpu['usable']} of {cpu['count']} CPUs ({cpu['model']}), {memory_gib:.1f} GiB of memory"
    for part in health.parts:
        yield part.name, part.found


def _grid(health: Health) -> Iterator[tuple[Text, ...]]:
    names = list(health.isolators[0].benchmarks) if health.isolators else []
    yield (Text("isolator", style="bold"), *(Text(name, style="bold") for name in names))
    for finding in health.isolators:
        yield (Text(finding.shown_as), *(_word(finding.benchmarks[name]) for name in names))


def _word(readiness: Readiness) -> Text:
    status = readiness.status
    return Text(_WORDS.get(status, status.value), style=_STYLES.get(status, "yellow"))


def _show_lacks(health: Health, console: Console) -> None:
    """Why something is not usable: each reason once, with all it holds for."""
    unavailable = _Reasons()
    unsupported = _Reasons()
    remarks = _Reasons()
    for part in health.parts:
        if part.reason:
            unavailable["", part.reason, part.remedy].append(f"this host's {part.name}")
    for finding in health.isolators:
        found = finding.readiness
        if not found.usable:
            unavailable["", found.reason or "", found.remedy].append(finding.shown_as)
        elif found.reason:
            remarks["", found.reason, found.remedy].append(finding.shown_as)
        for name, verdict in finding.benchmarks.items():
            if verdict.status is Status.UNSUPPORTED:
                unsupported[f"{name} with ", verdict.reason or "", None].append(finding.shown_as)
    _show_reasons("unavailable", unavailable, console)
    _show_reasons("unsupported", unsupported, console)
    _show_reasons("usable, but", remarks, console)


class _Reasons(defaultdict[tuple[str, str, str | None], list[str]]):
    """By what is said before the names, the reason and its remedy: the names."""

    def __init__(self) -> None:
        super().__init__(list)


def _show_reasons(title: str, reasons: _Reasons, console: Console) -> None:
    if reasons:
        console.print(f"\n{title}", style="bold")
    for (before, reason, remedy), names in reasons.items():
        columns(console, [(Text(printable(f"{before}{', '.join(names)}: {reason}")),)], indent=2)
        _show_command(console, remedy)


def _show_knobs(health: Health, console: Console) -> None:
    if health.left_tuned:
        console.print("\nleft tuned by a run that was killed", style="bold")
        columns(console, [(Text(str(one)),) for one in health.left_tuned], indent=2)
        _show_command(console, "isobench clean")
    disturbing = [knob for knob in health.knobs if knob.disturbs]
    _show_group(
        "disturbs measurements; isobench run --tune sets it for a run and puts it back",
        [knob for knob in disturbing if knob.left is None],
        console,
    )
    _show_group("disturbs measurements; left to you", [knob for knob in disturbing if knob.left], console)


def _show_group(title: str, knobs: list[Knob], console: Console) -> None:
    if knobs:
        console.print(f"\n{title}", style="bold")
    for knob in knobs:
        why = f" (not by --tune: {knob.left})" if knob.left else ""
        said = f"{knob.name}: {knob.found}, better {knob.wanted}; {knob.effect}{why}"
        columns(console, [(Text(said),)], indent=2)
        _show_command(console, knob.command)


def _show_command(console: Console, command: str | None) -> None:
    """On a line of its own and never folded: it is there to be copied."""
    if command:
        console.print(
            Text("    mend: ", style="dim") + Text(printable(command), style="cyan"), soft_wrap=True
        )
