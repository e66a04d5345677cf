"""Write docs/api.md: every endpoint with its permission, what it takes, and the client's method for it.

    python -m scripts.write_api_docs            # writes the page
    python -m scripts.write_api_docs --check    # exit code 1 when the page is not what it would write

Everything on the page comes from the code: addresses and bodies from the application's OpenAPI description, permissions
from the rules that its gate enforces, methods from the source of app/client. A test runs the check.
"""

import argparse
import ast
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.config import Workspace
from app.storage.database import open_store
from app.web.api import PARTS, PREFIX, create_api
from app.web.rules import Rule

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "api.md"
CLIENT = REPOSITORY / "app" / "client"

INTRODUCTION = """# HTTP API

Made from the code by `python -m scripts.write_api_docs`. The server describes itself at `/api/openapi.json`, too.

From Python, `app.client.client.Client` has a method for every endpoint:

```python
from app.client.client import Client

with Client("http://127.0.0.1:7860", token="...") as client:  # No token where there are no accounts.
    for row in client.review.queue(limit=20)["rows"]:
        client.review.decide(client.review.region(row["region_id"]), "accept")
```

- Programs send an API token: `Authorization: Bearer ...`. It may do what its person may do; the permission below each
  heading says what is asked for.
- A refusal is `{"error": sentence}`: 400 damaged, 401 sign in first, 403 not allowed, 404 not there, 409 somebody else
  was first, 413 too large, 422 makes no sense, 423 locked pixels, 429 too many requests; from 500 upwards nothing was
  stored, send it again.
- Decisions carry an `op_id` of the sender (1-64 letters, digits, `.`, `_`, `-`). The same one again is answered as
  before and stored once, so after a failure just send it again.
- Images are upright, boxes are x0, y0, x1, y1 in pixels with x1 and y1 exclusive, class ids start at 0, 255 is void.
- A drawing is sent as a binary frame (`application/octet-stream`): length of the header (4 bytes, little endian), the
  JSON body as header, then the deflated runs of its values; `app/web/wire.py` writes and reads it.
"""


def write() -> str:
    """The page."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        open_store(workspace, create=True).close()
        app = create_api(workspace)
        described, rules = app.openapi(), list(app.state.rules)
        app.state.context.store.close()
    methods = client_methods()
    sections = [INTRODUCTION]
    for part in PARTS:
        sections.append(f"## {_first_sentence(part.__doc__ or '').rstrip('.')}\n")
        for route in part.router.routes:
            path, (method, *_) = PREFIX + route.path, sorted(route.methods - {"HEAD"})
            found = described["paths"][path][method.lower()]
            sections.append("\n".join(_endpoint(method, path, found, described, rules, methods)))
    return "\n".join(sections).rstrip() + "\n"


def client_methods() -> dict[tuple[str, str], list[str]]:
    """How the client's methods are called, by HTTP method and path; read from their source, not run."""
    found: dict[tuple[str, str], list[str]] = {}
    groups = _groups()
    for file in sorted(CLIENT.glob("*.py")):
        for owner in (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)):
            for function in (node for node in owner.body if isinstance(node, ast.FunctionDef)):
                for call in _connection_calls(function):
                    found.setdefault(call, []).append(f"`client.{groups.get(owner.name, '')}{function.name}`")
    return found


def _groups() -> dict[str, str]:
    """The attribute of the client that holds each class of calls."""
    tree = ast.parse((CLIENT / "client.py").read_text())
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)]
    return {
        node.value.func.id: f"{target.attr}."
        for node in assigned
        for target in node.targets
        if isinstance(target, ast.Attribute) and isinstance(node.value, ast.Call)
        if isinstance(node.value.func, ast.Name)
    }


def _connection_calls(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            if node.func.attr in ("get", "post", "read", "save") and texts and texts[0].startswith("/"):
                yield ("POST" if node.func.attr == "post" else "GET"), texts[0]


def _endpoint(
    method: str,
    path: str,
    found: Mapping[str, Any],
    described: Mapping[str, Any],
    rules: list[Rule],
    methods: Mapping[tuple[str, str], list[str]],
) -> list[str]:
    lines = [f"### `{method} {path}`\n", f"{_permission(method, path, rules)} · {', '.join(methods[(method, path)])}\n"]
    lines.append(" ".join(found["description"].split()) + "\n")
    kinds = described["components"]["schemas"]
    rows = [*_query_rows(found, kinds), *_body_rows(found, kinds)]
    if rows:
        lines += ["| field | in | type | default |", "|---|---|---|---|", *rows, ""]
    return lines


def _permission(method: str, path: str, rules: list[Rule]) -> str:
    """What the gate asks for at an address."""
    concrete = path.replace("{", "").replace("}", "")
    for rule in rules:
        numbered = "/".join("1" if part.startswith("{") else part for part in path.split("/"))
        if method in rule.methods and (rule.pattern.fullmatch(concrete) or rule.pattern.fullmatch(numbered)):
            return "everybody" if rule.permissions is None else "permission " + ", ".join(sorted(rule.permissions))
    raise ValueError(f"no rule lets anybody reach {method} {path}")


def _query_rows(found: Mapping[str, Any], kinds: Mapping[str, Any]) -> Iterator[str]:
    for parameter in found.get("parameters", ()):
        if parameter["in"] == "query":
            yield _row(parameter["name"], "query", parameter["schema"], parameter.get("required", False), kinds)


def _body_rows(found: Mapping[str, Any], kinds: Mapping[str, Any]) -> Iterator[str]:
    content = found.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    schema = content["schema"]
    if "$ref" in schema:
        schema = kinds[schema["$ref"].rsplit("/", 1)[1]]
    kinds = {**kinds, **schema.get("$defs", {})}
    for name, field in schema.get("properties", {}).items():
        yield _row(name, "body", field, name in schema.get("required", ()), kinds)


def _row(name: str, place: str, schema: Mapping[str, Any], is_required: bool, kinds: Mapping[str, Any]) -> str:
    default = "required" if is_required else f"`{json.dumps(schema.get('default'))}`"
    return f"| `{name}` | {place} | {_type(schema, kinds)} | {default} |"


def _type(schema: Mapping[str, Any], kinds: Mapping[str, Any]) -> str:
    """A JSON schema in a word or two."""
    if "$ref" in schema:
        return _type(kinds[schema["$ref"].rsplit("/", 1)[1]], kinds)
    if "anyOf" in schema:
        return " or ".join(_type(each, kinds) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'], kinds)}" if "items" in schema else "list"
    if schema.get("type") == "object" and "properties" in schema:
        return "object of " + ", ".join(f"`{name}`" for name in schema["properties"])
    return f"{schema.get('type', 'any')}{_limits(schema)}"


def _limits(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum", schema.get("minLength")), schema.get("maximum", schema.get("maxLength"))
    unit = " characters" if schema.get("type") == "string" else ""
    if low is None and high is None:
        return ""
    if high is None:
        return f", {low:g} or more{unit}"
    return f", up to {high:g}{unit}" if low is None else f", {low:g}-{high:g}{unit}"


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).split(". ")[0]


def main() -> int:
    """Write or compare; 1 when the page is out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    written = write()
    if parser.parse_args().check:
        if PAGE.is_file() and PAGE.read_text() == written:
            return 0
        print("docs/api.md is out of date; run: python -m scripts.write_api_docs", file=sys.stderr)
        return 1
    PAGE.write_text(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
