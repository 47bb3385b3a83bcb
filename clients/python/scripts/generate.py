"""Generates src/quintet/_protocol.py from the JSON schemas that the service publishes at /schema/{frame}.json, and
src/quintet/sync.py from src/quintet/aio.py.

    python scripts/generate.py     writes both files

The drift tests compare the results of `generate` and `synchronous` with the files.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SNAPSHOTS = HERE.parents[2] / "src/wire/schema/snapshots"
TARGET = HERE.parent / "src/quintet/_protocol.py"

Schema = dict[str, Any]


def repository_schema(name: str) -> Schema:
    """Reads a schema of the repository: a snapshot file is a header between two lines of dashes, then JSON."""
    text = (SNAPSHOTS / f"quintet_wire__schema__tests__{name}.snap").read_text()
    schema: Schema = json.loads(text[text.index("\n---\n") + 5 :])
    return schema


def generate(server: Schema) -> str:
    """Returns the Python source for the union `server`."""
    definitions: dict[str, Schema] = server["$defs"]
    entries = [
        name for name in map(_referenced, server["oneOf"]) if "offset" in definitions[name].get("properties", {})
    ]
    notices = [name for name in map(_referenced, server["oneOf"]) if name not in entries]
    parts = [HEAD]
    nested: dict[str, str] = {}
    declared = [_declaration(name, definitions[name], nested) for name in sorted(definitions)]
    parts += [*nested.values(), *declared]
    parts.append(_union("Entry", "An entry of the log: exactly the frames that have an `offset`.", entries))
    parts.append(_union("Notice", "A frame of the service that is not an entry.", notices))
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _declaration(name: str, schema: Schema, nested: dict[str, str]) -> str:
    if schema.get("type") != "object":
        return f"{_pascal(name)} = {_type(schema, _pascal(name), nested)}\n{_doc(schema, name, '')}"
    return _typed_dict(_pascal(name), schema, nested)


def _typed_dict(name: str, schema: Schema, nested: dict[str, str]) -> str:
    properties: dict[str, Schema] = schema.get("properties", {})
    required = set(schema.get("required", []))
    if not all(key.isidentifier() and key not in KEYWORDS for key in properties):
        fields = []
        for key, field in properties.items():
            kind = _type(field, name + _pascal(key), nested)
            fields.append(f'        "{key}": {kind if key in required else f"NotRequired[{kind}]"},')
        return (
            f'{name} = TypedDict(\n    "{name}",\n    {{\n'
            + "\n".join(fields)
            + "\n    },\n)\n"
            + _doc(schema, name, "")
        )
    lines = [f"class {name}(TypedDict):", _doc(schema, name, "    ")]
    for key, field in properties.items():
        kind = _type(field, name + key.title().replace("_", ""), nested)
        lines.append(f"    {key}: {kind if key in required else f'NotRequired[{kind}]'}")
        if "description" in field:
            lines.append(_doc(field, key, "    "))
    return "\n".join(lines)


def _type(schema: Schema, name: str, nested: dict[str, str]) -> str:
    if "$ref" in schema:
        return _pascal(_referenced(schema))
    if "const" in schema:
        return f"Literal[{json.dumps(schema['const'])}]"
    if "enum" in schema:
        values = [value for value in schema["enum"] if value is not None]
        literal = f"Literal[{', '.join(json.dumps(value) for value in values)}]"
        return f"{literal} | None" if None in schema["enum"] else literal
    types = [schema["type"]] if isinstance(schema.get("type"), str) else list(schema.get("type", []))
    variants = schema.get("oneOf") or schema.get("anyOf")
    if variants and "properties" not in schema:
        found = [_type(variant, name, nested) for variant in variants]
        found += ["None"] if "null" in types else []
        return _joined(found)
    return _joined([_single(kind, schema, name, nested) for kind in types]) if types else "Any"


def _single(kind: str, schema: Schema, name: str, nested: dict[str, str]) -> str:
    match kind:
        case "object" if "properties" in schema:
            nested[name] = _typed_dict(name, schema, nested)
            return name
        case "object":
            return "dict[str, Any]"
        case "array":
            return f"list[{_type(schema.get('items', {}), name, nested)}]"
        case _:
            return {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "None"}[kind]


def _joined(types: list[str]) -> str:
    literals = [t for t in types if t.startswith("Literal[")]
    if len(literals) > 1:
        merged = "Literal[" + ", ".join(t[len("Literal[") : -1] for t in literals) + "]"
        types = [merged, *(t for t in types if t not in literals)]
    unique = list(dict.fromkeys(types))
    return unique[0] if len(unique) == 1 else " | ".join(unique)


def _union(name: str, doc: str, members: list[str]) -> str:
    listed = "\n    | ".join(_pascal(member) for member in members)
    return f'{name} = (\n    {listed}\n)\n"""{doc}"""\n'


def _doc(schema: Schema, name: str, indent: str) -> str:
    text = re.sub(r"\s+", " ", schema.get("description", name)).strip().replace("\\", "\\\\")
    wrapped = textwrap.wrap(text, 110 - len(indent))
    body = f"\n{indent}".join(wrapped)
    return f'{indent}"""{body}"""' if len(wrapped) == 1 else f'{indent}"""{body}\n{indent}"""'


def _pascal(name: str) -> str:
    spelled = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    return "ErrorFrame" if spelled == "Error" else spelled


def _referenced(schema: Schema) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[1]


KEYWORDS = {"from"}
HEAD = '''"""The frames of the service, from the published JSON schemas. Generated by scripts/generate.py. Do not edit."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict'''


def synchronous(source: str) -> str:
    """Returns the blocking form of the asyncio client."""
    for pattern, replacement in REPLACEMENTS:
        source = re.sub(pattern, replacement, source)
    return source


REPLACEMENTS = [
    (
        r'^"""The client for asyncio.*?"""',
        '"""The blocking client. Generated from aio.py by scripts/generate.py. Do not edit."""',
    ),
    (r"AsyncGenerator\[(.*?), None\]", r"Generator[\1, None, None]"),
    (r"AsyncGenerator", "Generator"),
    (r"import Generator, Callable", "import Callable, Generator"),
    (r"AsyncQuintet", "Quintet"),
    (r"AsyncClient", "Client"),
    (r"_io_async", "_io_sync"),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bawait ", ""),
    (r"another task is in ends with that task", "another thread is in ends with that thread"),
]

if __name__ == "__main__":
    TARGET.write_text(generate(repository_schema("server")))
    (TARGET.parent / "sync.py").write_text(synchronous((TARGET.parent / "aio.py").read_text()))
