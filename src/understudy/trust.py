"""What an address may do depends on who wrote it: one that a person types may name code to import, or a server to ask; one in a file may not."""

from __future__ import annotations

from collections.abc import Mapping

from understudy.core.errors import refuse

DOES = {"torch": "imports a module, which runs its code", "openai": "asks a server, with a key that it names"}
MEND = "look at it, and pass --trust (trust=True) if you know who wrote it"


def only_data(field: str, address: str, where: object, mend: str = MEND) -> None:
    """Raises `Refused` where loading an address that stands in the file `where` could run code, or ask anybody but the hub."""
    if not address or address.startswith("<"):  # an object, handed over by the caller
        return
    from understudy.data.address import parse

    at = parse(address)
    does = DOES.get(at.scheme, "reads from elsewhere" if "://" in at.place or "::" in at.place else "")
    if does:
        raise refuse(
            field,
            f"{at.scheme}:…",
            f"an address that runs nothing and asks nobody, as it stands in {where} (this one {does})",
            mend,
        )
    for name, value in at.options.items():
        if name == "arch":
            only_data(f"{field}.arch", value, where, mend)


def settings(given: Mapping[str, str], where: object) -> None:
    """`only_data` of each address of a configuration by its field: teacher, student, data, signal."""
    for field, address in given.items():
        only_data(field, address, where)
