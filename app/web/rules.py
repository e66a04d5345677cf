"""Which permission every address asks for. What stands in no rule is not served, whatever answers behind it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import compile_path

from app.domain.roles import Permission
from app.web.context import Requirement

_READ = frozenset({"GET", "HEAD"})
_WRITE = frozenset({"POST"})


@dataclass(frozen=True)
class Rule:
    """One kind of address.

    Attributes:
        methods: the HTTP methods it is about.
        pattern: matches the whole path.
        permissions: what is asked for, all of them; None lets everybody in, also who has not signed in.
    """

    methods: frozenset[str]
    pattern: re.Pattern[str]
    permissions: frozenset[Permission] | None


def rules_of(router: APIRouter, prefix: str) -> list[Rule]:
    """The rules of our own endpoints, from what each declares with `requires`; none for one that declares nothing."""
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    declared = [(route, _declared(route)) for route in routes]
    return [
        Rule(frozenset(route.methods or ()), compile_path(prefix + route.path)[0], permissions)
        for route, permissions in declared
        if permissions
    ]


def public(path: str, *methods: str) -> Rule:
    """Everybody may: signing in, and whether the server is well."""
    return Rule(frozenset(methods), re.compile(re.escape(path)), None)


def page_rules(pages: Iterable[tuple[str, Permission]]) -> list[Rule]:
    """The addresses of the pages, each with what it asks for."""
    return [
        Rule(_READ, re.compile(f"{re.escape(path.rstrip('/'))}/?"), frozenset({permission}))
        for path, permission in pages
    ]


def read(pattern: str, permission: Permission = Permission.USE) -> Rule:
    """Addresses to read from; `pattern` is a regular expression for the whole path."""
    return Rule(_READ, re.compile(pattern), frozenset({permission}))


def _post(pattern: str) -> Rule:
    return Rule(_WRITE, re.compile(pattern), frozenset({Permission.USE}))


FRAME_RULES = (
    read(r"/static/.+"),
    read(r"/(assets|svelte)/.+"),
    read(r"/(config/?|theme\.css|favicon\.ico|manifest\.json|robots\.txt|pwa_icon(/\d+)?)"),
    read(r"/gradio_api/(queue/data|heartbeat/\w+|startup-events|theme\.css|info/?|app_id/?)"),
    _post(r"/gradio_api/(queue/join|run/predict/?|reset/?|cancel)"),
)
"""What the pages are made of, and how they call their listeners, each of which asks for a permission of its own
(pages_panels.py). Gradio offers more: uploads, files, server functions, a public API, monitoring, a sign-in of its
own. No page of ours uses those, so nobody reaches them."""


def _declared(route: APIRoute) -> frozenset[Permission]:
    found = (parameter.dependency for parameter in route.dependencies)
    return frozenset(each.permission for each in found if isinstance(each, Requirement))
