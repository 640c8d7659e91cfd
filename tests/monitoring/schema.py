"""Holds a Grafana dashboard against Grafana's own schema.

    schema.py DASHBOARD.json

The schema is that of the package grafana-foundation-sdk, which is generated from Grafana's sources. What it reads must
come out again: a key that Grafana does not know would be lost. And every value must be of the type, and of the set,
that stands there for it. Prints what is wrong, a line for each; exit code 1 if anything is.
"""

import enum
import json
import sys
import types
import typing

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(before, after, place):
    """What the schema does not know: it may add its defaults, but take nothing away."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from lost(value, after[key], f"{place}.{key}")
            else:
                yield f"{place}.{key}: Grafana has no such key"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after)):
            yield from lost(one, other, f"{place}[{index}]")
    elif before != after:
        yield f"{place}: {before!r} comes out as {after!r}"


def fits(value, kind):
    """Whether a value is of this annotated type."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind in (object, typing.Any) or isinstance(kind, (typing.TypeVar, str)):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin is typing.Literal:
        return value in parts
    if origin is list:
        return isinstance(value, list)
    if origin is dict:
        return isinstance(value, dict)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return value in [member.value for member in kind]
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind) if isinstance(kind, type) else True


def wrong(thing, place):
    """Members whose value is not of their type."""
    if isinstance(thing, list):
        for index, one in enumerate(thing):
            yield from wrong(one, f"{place}[{index}]")
    elif isinstance(thing, dict):
        for key, one in thing.items():
            yield from wrong(one, f"{place}.{key}")
    elif hasattr(thing, "to_json"):
        kinds = typing.get_type_hints(type(thing))
        for name, value in vars(thing).items():
            kind = kinds.get(name, object)
            if not fits(value, kind):
                yield f"{place}.{name}: {value!r} is no {kind}"
            yield from wrong(value, f"{place}.{name}")


def main(file):
    with open(file, encoding="utf-8") as text:
        before = json.load(text)
    plugins.register_default_plugins()
    dashboard = Dashboard.from_json(before)
    after = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    problems = [*lost(before, after, "dashboard"), *wrong(dashboard, "dashboard")]
    print(*problems, sep="\n", end="\n" if problems else "")
    panels = len(before.get("panels", []))
    print(f"{panels} panels, {len(problems)} problems")
    return 1 if problems or not panels else 0


sys.exit(main(sys.argv[1]))
