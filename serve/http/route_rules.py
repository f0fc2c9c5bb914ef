"""Who may use a route and how much may be sent to it, declared where the route is.

The middleware reads the declaration before the request's body is read; nothing is guessed from a path.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

F = TypeVar("F", bound=Callable[..., Any])
_ATTRIBUTE = "route_rules"
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RouteRules:
    """What the middleware holds a request for one route to."""

    scope: Literal["open", "read", "write"]
    """Least scope of the API key, where the service has keys; `open`: none is needed."""
    body: Literal["small", "images"] = "small"
    """Bound on the body: JSON or nothing, or photographs (`Limits.max_body_bytes`)."""
    any_host: bool = False
    """Whether it is answered under any Host header; probes of an orchestrator use the address of a pod."""


def declare(rules: RouteRules) -> Callable[[F], F]:
    """Decorate an endpoint (or the application of a mount) with the rules of its routes."""

    def mark(endpoint: F) -> F:
        setattr(endpoint, _ATTRIBUTE, rules)
        return endpoint

    return mark


class RouteTable:
    """The routes of an application with their rules; refuses a route that declares none."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        """`routes`: every one, flat. Raises `TypeError` for one without a declaration."""
        self._rules = [(route, _declared_rules(route)) for route in routes]

    def rules_for(self, scope: Scope) -> RouteRules:
        """The rules of the first route that takes the request.

        Where none takes it, whether a key is asked for depends on the method alone, for the answer is an
        error anyway; a path of an open route stays open to every method.
        """
        is_reading = scope["method"] in _READING_METHODS
        unmatched = RouteRules(scope="read" if is_reading else "write")
        for route, rules in self._rules:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return rules
            if match is Match.PARTIAL and rules.scope == "open":
                unmatched = dataclasses.replace(rules, body="small")
        return unmatched


def _declared_rules(route: BaseRoute) -> RouteRules:
    handler = getattr(route, "endpoint", None) or getattr(route, "app", None)
    rules = getattr(handler, _ATTRIBUTE, None)
    if not isinstance(rules, RouteRules):
        name = f"{'/'.join(sorted(getattr(route, 'methods', None) or ()))} {getattr(route, 'path', route)}"
        raise TypeError(
            f"The route {name.strip()} must declare who may use it and how much may be sent: decorate its"
            " endpoint with @declare(RouteRules(scope=...))."
        )
    return rules
