"""Kinds of things a matrix can name: built-ins from one explicit table, others through an entry-point group.

A class is imported when it is asked for, and the entry points of the environment are looked at only when a
name is no built-in or when all are to be listed: neither costs a run of built-ins anything.
"""

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from isobench.errors import UsageError

T = TypeVar("T")

OWN_DISTRIBUTION = "isobench"


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One name in a listing: its class, or why there is none."""

    name: str
    distribution: str
    """The installed package that offers it."""
    cls: type[T] | None
    reason: str | None = None
    remedy: str | None = None


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """`` (did you mean "runc"?)``, or nothing when no allowed name is near."""
    near = difflib.get_close_matches(found, list(allowed), n=1)
    return f' (did you mean "{near[0]}"?)' if near else ""


class Registry(Generic[T]):
    """The names of one sort of plug-in and how their classes are found."""

    def __init__(
        self,
        sort: str,
        base: type[Any],
        builtin: Mapping[str, str],
        *,
        found: Callable[[], Iterable[EntryPoint]] | None = None,
    ) -> None:
        """``builtin`` maps a name to ``module:Class``; ``found`` replaces the environment in tests."""
        self.sort = sort
        self.group = f"isobench.{sort}s"
        self.builtin = builtin
        self._base = base
        self._found = found or (lambda: entry_points(group=self.group))

    @cached_property
    def _plugins(self) -> Mapping[str, tuple[EntryPoint, ...]]:
        """Every entry point of the group, by its name; more than one under a name is a clash."""
        points: dict[str, tuple[EntryPoint, ...]] = {}
        for point in self._found():
            points[point.name] = (*points.get(point.name, ()), point)
        return points

    def names(self) -> tuple[str, ...]:
        """All names, built-ins first; nothing is imported."""
        return (*self.builtin, *sorted(self._plugins.keys() - self.builtin.keys()))

    def load(self, name: str) -> type[T]:
        """The class of that name.

        Raises :class:`isobench.errors.UsageError` when there is none, when two packages offer it, and when
        a package's class cannot be imported or is none of ours.
        """
        if target := self.builtin.get(name):
            module, _, attribute = target.partition(":")
            return self._checked(name, OWN_DISTRIBUTION, getattr(importlib.import_module(module), attribute))
        points = self._plugins.get(name, ())
        if not points:
            allowed = self.names()
            hint = did_you_mean(name, allowed)
            raise UsageError(f'there is no {self.sort} "{name}"{hint}; allowed: {", ".join(allowed)}')
        if len(points) > 1:
            raise self._clash(name, [_distribution(point) for point in points])
        return self._load_plugin(points[0])

    def entries(self) -> tuple[Entry[T], ...]:
        """Every name with its class or with what is wrong with it; one that is broken takes no other down."""
        own = [self._entry(name, OWN_DISTRIBUTION) for name in self.builtin]
        others = [
            self._entry(name, ", ".join(_distribution(point) for point in points))
            for name, points in sorted(self._plugins.items())
        ]
        return (*own, *others)

    def _entry(self, name: str, distribution: str) -> Entry[T]:
        try:
            if distribution != OWN_DISTRIBUTION and name in self.builtin:
                raise self._clash(name, [OWN_DISTRIBUTION, distribution])
            return Entry(name, distribution, self.load(name))
        except UsageError as error:
            return Entry(name, distribution, None, str(error), error.remedy)

    def _load_plugin(self, point: EntryPoint) -> type[T]:
        distribution = _distribution(point)
        try:
            loaded = point.load()
        except Exception as error:  # a third party's module may raise anything when it is imported
            raise UsageError(
                f'the {self.sort} "{point.name}" ({point.value}) of the package {distribution} cannot be '
                f"imported: {type(error).__name__}: {error}",
                remedy=f"mend or remove it: pip uninstall {distribution}",
            ) from error
        return self._checked(point.name, distribution, loaded)

    def _checked(self, name: str, distribution: str, loaded: object) -> type[T]:
        if isinstance(loaded, type) and issubclass(loaded, self._base):
            return loaded
        raise UsageError(
            f'the {self.sort} "{name}" of the package {distribution} is {loaded!r}, '
            f"not a subclass of {self._base.__module__}.{self._base.__qualname__}",
            remedy=f"mend or remove it: pip uninstall {distribution}",
        )

    def _clash(self, name: str, distributions: list[str]) -> UsageError:
        return UsageError(
            f'the {self.sort} "{name}" is offered by more than one package: {", ".join(distributions)}',
            remedy=f"remove one of them: pip uninstall {distributions[-1]}",
        )


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "(unknown)"
