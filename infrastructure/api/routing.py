"""From a path to the endpoint that it names. Its parts are decoded one by one, so that an id may have a `/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from .endpoint import Endpoint


class Match(NamedTuple):
    """The endpoints of a path, by method, and the parameters in it."""

    endpoints: Mapping[str, Endpoint]
    parameters: Mapping[str, str]


class Routes:
    """The paths of the endpoints. A part that is written out goes before one that is a parameter."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._paths: dict[tuple[str, ...], dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            self._paths.setdefault(tuple(endpoint.path.strip("/").split("/")), {})[endpoint.method] = endpoint
        self._ordered = sorted(self._paths, key=lambda parts: [part.startswith("{") for part in parts])

    def match(self, parts: Sequence[str]) -> Match | None:
        """Return the endpoints of a path; None if there are none."""
        for pattern in self._ordered:
            if len(pattern) == len(parts) and all(
                wanted == part or wanted.startswith("{") for wanted, part in zip(pattern, parts, strict=True)
            ):
                named = zip(pattern, parts, strict=True)
                parameters = {wanted[1:-1]: part for wanted, part in named if wanted.startswith("{")}
                return Match(self._paths[pattern], parameters) if all(parameters.values()) else None
        return None


def path_below(scope: Mapping[str, Any]) -> list[str]:
    """Return the parts of a request's path below the path at which the program is mounted.

    Servers give the path decoded, and most give it raw as well: only that tells a `/` within a part from one between
    two parts.
    """
    path, root = scope["path"], scope.get("root_path", "")
    below = path[len(root) :] if root and f"{path}/".startswith(f"{root}/") else path
    raw: bytes | None = scope.get("raw_path")
    if raw is not None and b"%2f" in raw.lower():
        parts = raw.partition(b"?")[0].split(b"/")
        for begin in range(len(parts)):
            decoded = [unquote(part.decode("latin-1")) for part in parts[begin:]]
            if "/".join(decoded) == below.lstrip("/"):
                return decoded
    return list(below.lstrip("/").split("/"))
