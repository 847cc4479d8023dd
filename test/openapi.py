"""Holds answers against docs/openapi.json: the part of JSON Schema that it uses, and no more."""

import json
import re
from datetime import datetime
from pathlib import Path

DOCUMENT = json.loads((Path(__file__).resolve().parent.parent / "docs" / "openapi.json").read_text())
KNOWN = {"type", "properties", "required", "additionalProperties", "items", "enum", "format", "description", "$ref", "anyOf", "examples",
         "minimum", "maximum"}


def is_type(name, value):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}[name])


def faults(schema, value, where="answer"):
    """What of a value does not fit a schema, as sentences."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if unknown := schema.keys() - KNOWN:
        raise AssertionError(f"the validator does not know {unknown}")
    if "anyOf" in schema:
        each = [list(faults(option, value, where)) for option in schema["anyOf"]]
        if all(each):
            yield f"{where} fits none of {len(each)} schemas; nearest: {min(each, key=len)[0]}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is {value!r}, expected one of {schema['enum']}"
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(is_type(name, value) for name in types):
            yield f"{where} is {value!r}, expected {' or '.join(types)}"
            return
    if is_type("number", value) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where} is {value!r}, beyond its bounds"
    if schema.get("format") == "date-time" and isinstance(value, str):
        try:
            datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            yield f"{where} is {value!r}, no time"
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for key in schema.get("required", []):
            if key not in value:
                yield f"{where}.{key} is missing"
        for key, item in value.items():
            if key in properties:
                yield from faults(properties[key], item, f"{where}.{key}")
            elif schema.get("additionalProperties") is False:
                yield f"{where}.{key} is not in the document"
            elif isinstance(schema.get("additionalProperties"), dict):
                yield from faults(schema["additionalProperties"], item, f"{where}.{key}")
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from faults(schema["items"], item, f"{where}[{number}]")


def operation_of(method, path):
    """The operation that a request is for; literal segments win over parameters."""
    path = path.split("?")[0]
    found = []
    for template, operations in DOCUMENT["paths"].items():
        if method.lower() not in operations:
            continue
        rest = operations[method.lower()].get("x-tamis-path", "").endswith("...}")
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if rest:
            pattern = pattern.removesuffix("[^/]+") + ".*"
        if re.fullmatch(pattern, path):
            found.append((template.count("{"), template))
    if not found:
        return None
    return DOCUMENT["paths"][min(found)[1]][method.lower()]


def examples(schema, where="document"):
    """Each example of a schema and those below it, with the schema that it must fit."""
    if isinstance(schema, dict):
        for example in schema.get("examples", []) if isinstance(schema.get("examples"), list) else []:
            yield where, {key: value for key, value in schema.items() if key != "examples"}, example
        for key, value in schema.items():
            yield from examples(value, f"{where}.{key}")
    elif isinstance(schema, list):
        for number, value in enumerate(schema):
            yield from examples(value, f"{where}[{number}]")


def check(method, path, answer, must_be_there=True):
    """Raises where an answer (harness.Answer) does not fit the document."""
    operation = operation_of(method, path)
    if operation is None:
        if not must_be_there:
            return
        raise AssertionError(f"{method} {path} is not in the document")
    responses = operation["responses"]
    response = responses.get(str(answer.status), responses["default"])
    schema = response["content"].get("application/json", {}).get("schema")
    is_json = answer.headers.get("Content-Type", "").split(";")[0] == "application/json"
    if schema is None or not (is_json or must_be_there):
        return
    if found := list(faults(schema, answer.json())):
        raise AssertionError(f"{method} {path} answered {answer.status}:\n" + "\n".join(found[:10]))
