"""The route of a request, which the middlewares have to know before the router does."""

from starlette.types import Scope

API = "/v1"


def route_path(scope: Scope) -> str:
    """Return the path below the prefix under which the application is mounted, as the router matches it."""
    path, root = str(scope.get("path", "")), str(scope.get("root_path", ""))
    if root and (path == root or path.startswith(f"{root}/")):
        return path[len(root) :]
    return path


def is_api(path: str) -> bool:
    """Return whether a path belongs to the API, not to its pages."""
    return path == API or path.startswith(f"{API}/")
