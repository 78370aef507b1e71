"""Accelerators: what their makers' data sheets say of them, and what an hour is taken to cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from understudy.core.errors import nearest, refuse

SHEET = "maker's data sheet"
GIVEN = "given"


@dataclass(frozen=True)
class Device:
    """flops: dense bf16 operations a second; memory: bytes; bandwidth: of its memory, bytes a second; price: of an hour, dollars, an
    assumption (rents differ by a factor of three); source: of the first three."""

    name: str
    flops: float
    memory: float
    bandwidth: float
    price: float
    source: str = SHEET


DEVICES = {
    d.name.lower(): d
    for d in (
        Device("H100", 989e12, 80e9, 3.35e12, 2.5),  # SXM
        Device("H200", 989e12, 141e9, 4.8e12, 3.5),
        Device("B200", 2250e12, 180e9, 8.0e12, 5.0),
        Device("A100", 312e12, 80e9, 2.039e12, 1.5),  # SXM, 80 GB
        Device("A100-40", 312e12, 40e9, 1.555e12, 1.2),
        Device("L40S", 362e12, 48e9, 0.864e12, 1.0),
        Device("L4", 121e12, 24e9, 0.3e12, 0.6),
        Device("A10", 125e12, 24e9, 0.6e12, 0.7),
        Device("RTX4090", 165e12, 24e9, 1.008e12, 0.5),
        Device("MI300X", 1307e12, 192e9, 5.3e12, 3.0),
    )
}


def device(
    name: str,
    *,
    flops: float | None = None,
    memory: float | None = None,
    bandwidth: float | None = None,
    price: float | None = None,
) -> Device:
    """A device by name, with what is given in place of what is known; one that isn't known needs all four. Raises `Refused`."""
    given = {k: v for k, v in (("flops", flops), ("memory", memory), ("bandwidth", bandwidth), ("price", price)) if v is not None}
    for k, v in given.items():
        if not 0 <= v < 1e30 or (v == 0 and k != "price"):
            raise refuse(k, v, "a number above 0" if k != "price" else "a number of at least 0")
    known = DEVICES.get(name.lower())
    if known is None:
        if len(given) < 4:
            raise refuse("gpus", name, f"one of {', '.join(d.name for d in DEVICES.values())}{nearest(name.lower(), DEVICES)}",
                         "of another say --peak, --memory, --bandwidth and --price")  # fmt: skip
        return Device(name, **given, source=GIVEN)
    return replace(known, **given, source=GIVEN if given.keys() & {"flops", "memory", "bandwidth"} else known.source)
