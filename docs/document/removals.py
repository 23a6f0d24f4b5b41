"""The table of removals: what takes each guarantee away, which scenario shows it, and which checker says so."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Final

import attrs

# By bare name: the folder of the scripts is where Python looks first.
from table import GUARANTEES, HERE, Mutation, read_mutations

if TYPE_CHECKING:
    from pathlib import Path

HARNESS: Final = HERE / "harness.toml"


@attrs.frozen(kw_only=True)
class Removal:
    """One way to take a guarantee away, and how the harness was seen to say so.

    Args:
        guarantee: Which, by its number.
        scenario: The shipped scenario that goes red.
        checker: The checker by whose finding it does, which watches over that guarantee.
        mutations: What is changed, all of it at once.
    """

    guarantee: int
    scenario: str
    checker: str
    mutations: tuple[Mutation, ...]

    @property
    def what(self) -> str:
        """What the library does no more."""
        return " ".join(mutation.what for mutation in self.mutations)


def read_removals(path: Path = HARNESS, guarantees: Path = GUARANTEES) -> tuple[Removal, ...]:
    """Read the table. A removal refers to mutations of guarantees.toml by their sentences, or has one of its own.

    Raises:
        ValueError: An entry has other keys than it may, or refers to a sentence that does not stand there once.
    """
    known: dict[str, list[Mutation]] = {}
    for mutation in read_mutations(guarantees):
        known.setdefault(mutation.what, []).append(mutation)
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["removal"]
    return tuple(_removal(entry, known) for entry in entries)


def _removal(entry: dict[str, Any], known: dict[str, list[Mutation]]) -> Removal:
    common = {"guarantee", "scenario", "checker"}
    forms = ({"mutations"}, {"what", "file", "remove"}, {"what", "file", "replace", "with"})
    if entry.keys() - common not in forms or not common <= entry.keys():
        told = " or ".join(", ".join(sorted(form)) for form in forms)
        raise ValueError(f"removal of {entry.get('guarantee')}: beside {sorted(common)} it has {told}")
    if "mutations" in entry:
        for sentence in entry["mutations"]:
            if len(known.get(sentence, ())) != 1:
                raise ValueError(f"{len(known.get(sentence, ()))} mutations say: {sentence}")
        mutations = tuple(known[sentence][0] for sentence in entry["mutations"])
    else:
        mutations = (
            Mutation(
                ids=(str(entry["guarantee"]),),
                what=entry["what"],
                file=entry["file"],
                old=entry["remove"] if "remove" in entry else entry["replace"],
                new=entry.get("with", ""),
                tests=(),
            ),
        )
    return Removal(
        guarantee=entry["guarantee"], scenario=entry["scenario"], checker=entry["checker"], mutations=mutations
    )
