"""A resource definition is asked as an API server asks it."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cluster.support.cluster_files import write
from tests.cluster.support.crd_schema import Schema, admit, crd_schema

DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kilns.pottery.example}
spec:
    group: pottery.example
    names: {kind: Kiln, plural: kilns}
    versions:
        - name: v1alpha1
          schema: {openAPIV3Schema: {type: object}}
        - name: v1
          schema:
              openAPIV3Schema:
                  type: object
                  properties:
                      apiVersion: {type: string}
                      kind: {type: string}
                      metadata: {type: object}
                      spec:
                          type: object
                          required: [clay, shelves]
                          properties:
                              clay: {type: string, enum: [earthenware, porcelain]}
                              shelves: {type: integer, format: int32, minimum: 1, default: 3}
                              draught: {type: number, minimum: 0, exclusiveMinimum: true}
                              glaze: {type: string, nullable: true}
                              fuel:
                                  type: string
                                  x-kubernetes-validations: [{rule: "self in ['gas', 'wood']"}]
                              load:
                                  anyOf: [{type: integer}, {type: string}]
                                  pattern: ^[0-9]+kg$
                                  x-kubernetes-int-or-string: true
                              notes: {type: object, x-kubernetes-preserve-unknown-fields: true}
                              signs: {type: object, additionalProperties: {type: string}}
                              part: {type: object, x-kubernetes-embedded-resource: true}
                              colours: {type: array, items: {type: string}, x-kubernetes-list-type: set}
                              vents:
                                  type: array
                                  x-kubernetes-list-type: map
                                  x-kubernetes-list-map-keys: [side, height]
                                  items:
                                      type: object
                                      required: [height]
                                      properties:
                                          height: {type: integer}
                                          side: {type: string, default: left}
                              heat:
                                  type: object
                                  oneOf: [{required: [cone]}, {required: [celsius]}]
                                  properties: {cone: {type: string}, celsius: {type: integer}}
"""


@pytest.fixture
def schema(tmp_path: Path) -> Schema:
    return crd_schema(write(tmp_path / "kilns.yaml", f"---\n{DEFINITION}"))


def _kiln(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "pottery.example/v1",
        "kind": "Kiln",
        "metadata": {"name": "big"},
        "spec": {"clay": "porcelain", **spec},
    }


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"shelves": None},
        {"glaze": None, "fuel": None},
        {"fuel": "wood", "draught": 0.1},
        {"load": 20},
        {"load": "20kg"},
        {"notes": {"any": {"thing": [1]}}},
        {"signs": {"door": "hot", "back": None}},
        {"colours": ["red", "blue"]},
        {"vents": [{"height": 1}, {"height": 1, "side": "right"}]},
        {"heat": {"cone": "6"}},
        {"part": {"apiVersion": "v1", "kind": "Door", "metadata": {"name": "d"}}},
    ],
)
def test_what_is_right_is_taken(schema: Schema, spec: dict[str, Any]) -> None:
    kiln = _kiln(**spec)
    as_written = copy.deepcopy(kiln)
    admit(kiln, schema)  # raises for what is refused
    assert kiln == as_written, "defaults are filled into a copy"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"clya": "x"}, "'clya' was unexpected"),
        ({"clay": None}, "'clay' is a required property"),
        ({"clay": "mud"}, "'mud' is not one of"),
        ({"shelves": "3"}, "'3' is not of type 'integer'"),
        ({"shelves": True}, "True is not of type 'integer'"),
        ({"shelves": 0}, "0 is less than the minimum of 1"),
        ({"shelves": 2**31}, "2147483648 is greater than the maximum"),
        ({"draught": 0}, "0 is less than or equal to the minimum of 0"),
        ({"fuel": "coal"}, "'coal' is not one of"),
        ({"load": 2.5}, "2.5 is not of type 'integer', 'string'"),
        ({"load": "20"}, "'20' does not match"),
        ({"load": "20kg\n"}, "does not match"),
        ({"signs": {"door": 1}}, "1 is not of type 'string'"),
        ({"colours": ["red", "red"]}, "an item is there twice"),
        ({"colours": [None]}, "None is not of type 'string'"),
        ({"vents": [{"height": 1}, {"height": 1, "side": "left"}]}, r"\['left', 1\] is there twice"),
        ({"heat": {}}, "not valid under any"),
        ({"heat": {"cone": "6", "kelvin": 1}}, "'kelvin' was unexpected"),
        ({"part": {"kind": "Door", "size": 1}}, "'size' was unexpected"),
    ],
)
def test_what_is_wrong_is_refused(schema: Schema, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(jsonschema.ValidationError, match=message):
        admit(_kiln(**spec), schema)


@pytest.mark.parametrize(
    "part", [{"apiVersion": "pottery.example/v1alpha1"}, {"kind": "Oven"}, {"metadata": {}}, {"spce": {}}]
)
def test_so_is_another_resource_or_one_without_a_name(schema: Schema, part: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        admit({**_kiln(), **part}, schema)


def test_a_version_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no resource definition with version v2"):
        crd_schema(write(tmp_path / "kilns.yaml", DEFINITION), "v2")
