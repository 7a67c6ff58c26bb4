"""Print the house: the rooms, the floor that each stands on, and what it imports. `python -m tests.architecture`."""

from __future__ import annotations

from collections import Counter

from .house import arrows, circle, floors, modules, room_of


def main() -> None:
    """Print one line a room, from the top floor down, and the counts."""
    rooms = arrows()
    lines = Counter[str]()
    for module in modules().values():
        lines[room_of(module.name)] += module.lines
    found = circle(rooms)
    if found:
        print("a circle:", " -> ".join([*found, found[0]]))
        return
    standing = floors(rooms)
    for room in sorted(rooms, key=lambda name: (-standing[name], name)):
        print(
            f"floor {standing[room]}  {room:32} {lines[room]:6,} lines  imports {', '.join(sorted(rooms[room])) or '-'}"
        )
    print(f"{len(rooms)} rooms, {max(standing.values())} floors, {sum(map(len, rooms.values()))} arrows, no circle")


if __name__ == "__main__":
    main()
