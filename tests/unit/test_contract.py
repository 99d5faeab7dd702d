"""The contract in words, for machines and in code: three times the same, and what real registries send."""

import importlib.resources
import json
import os
import re
import urllib.error
import urllib.request

import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from kit import programs
from kit.registry import Registry
from openapi_spec_validator import validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from mcp_client.digest import parse_digest
from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference
from mcp_client.registry import wire
from mcp_client.registry.conformance.finding import RULES
from mcp_client.registry.writer import DirectoryWriter
from mcp_client.resolution import Descriptor, Resolution

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs")
ONE = parse_reference("acme/one@1.2.3")
HEX = "a" * 64


def read(name):
    with open(os.path.join(DOCS, name), encoding="utf-8") as file:
        return file.read()


CONTRACT = read("REGISTRY-CONTRACT.md")
OPENAPI = yaml.safe_load(read("openapi.yaml"))
SCHEMAS = OPENAPI["components"]["schemas"]


def check(name, value):
    """Raise ValidationError unless ``value`` is what the schema ``name`` says."""
    whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
    Draft202012Validator(whole).validate(value)


def artifact(**changes):
    return {"digest": f"sha256:{HEX}", "url": "files/a", "size_bytes": 3, **changes}


def answer(**changes):
    value = {"manifest": artifact(), "bundle": artifact(), "version": "1.2.3", "status": "published"}
    return {name: one for name, one in {**value, **changes}.items() if one != "absent"}


def test_the_document_is_openapi_3_1():
    assert OPENAPI["openapi"].startswith("3.1.")
    validate(OPENAPI)

    broken = {**OPENAPI, "paths": {"/x": {"get": {"responses": {"200": {}}}}}}
    with pytest.raises(OpenAPIValidationError):
        validate(broken)


def test_examples_in_the_document_are_what_it_says():
    answers = OPENAPI["components"]["responses"]
    check("Answer", answers["Answer"]["content"]["application/json"]["examples"]["published"]["value"])
    check("Problem", answers["Refusal"]["content"]["application/json"]["examples"]["any"]["value"])
    post = OPENAPI["paths"]["/v1/packages/{org}/{name}/resolve"]["post"]
    for example in post["requestBody"]["content"]["application/json"]["examples"].values():
        check("Question", example["value"])


def test_answers_of_the_embedded_registry():
    root = importlib.resources.files("mcp_client") / "embedded" / "packages" / "acme" / "hello-world"
    check("Answer", json.loads((root / "1.2.3.json").read_text()))


@pytest.mark.parametrize("dialect", ["post", "get"])
def test_answers_of_a_registry_on_the_web(dialect):
    with Registry(dialect) as registry:
        registry.publish(programs.single())
        package = programs.single()
        url = f"{registry.url}/v1/packages/{package.org}/{package.name}/resolve"

        def ask(ref):
            question = {"ref": ref}
            check("Question", question)
            body = json.dumps(question).encode() if dialect == "post" else None
            request = urllib.request.Request(url if body else f"{url}?ref={ref}", data=body)
            with urllib.request.urlopen(request, timeout=20) as response:
                return json.load(response)

        check("Answer", ask(package.version))
        check("Answer", ask(f"digest:{package.digests[0]}"))
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask("9.9.9")
        with caught.value as response:
            check("Problem", json.load(response))


def test_answers_of_a_mirror(tmp_path):
    one = Descriptor(parse_digest(f"sha256:{HEX}"), f"artifacts/sha256/{HEX}", 3)
    writer = DirectoryWriter(str(tmp_path))
    writer.publish(Resolution(ONE, "", one, one, "deprecated", "1.2.3", "use 2.0.0"))

    folder = tmp_path / "packages" / "acme" / "one"
    assert len(list(folder.iterdir())) == 2
    for path in folder.iterdir():
        check("Answer", json.loads(path.read_text()))
        assert re.search(
            OPENAPI["paths"]["/packages/{org}/{name}/{file}"]["parameters"][2]["schema"]["pattern"], path.name
        )


RIGHT = [
    answer(),
    answer(version="absent", status="absent"),
    answer(version=None, status=None),
    answer(message="use 2.0.0", extra={"a": 1}),
    answer(message=["odd"]),
    answer(bundle={"digest": f"sha256:{HEX}", "url": "https://host/a?b=c"}),
    answer(bundle=artifact(size_bytes=None)),
    answer(bundle=artifact(size_bytes=0)),
    answer(bundle=artifact(size_bytes=1 << 53)),
    answer(bundle=artifact(url="a" * 8192)),
    *(answer(status=status) for status in ("published", "deprecated", "revoked", "quarantined")),
]
WRONG = [
    [],
    "text",
    answer(manifest="absent"),
    answer(bundle="absent"),
    answer(bundle=[]),
    answer(status="fresh"),
    answer(version=3),
    answer(version="1.2\n3"),
    answer(version="x" * 257),
    *(answer(bundle=artifact(size_bytes=size)) for size in ("3", -1, 1.5, (1 << 53) + 1, True)),
    *(answer(bundle=artifact(url=url)) for url in ("", "a b", "a\x00b", "a" * 8193, 3)),
    *(
        answer(bundle=artifact(digest=digest))
        for digest in (HEX, f"md5:{HEX}", f"sha256:{'A' * 64}", "sha256:ab")
    ),
]


@pytest.mark.parametrize("value", RIGHT, ids=lambda value: json.dumps(value)[-60:])
def test_what_the_schema_takes_the_program_takes(value):
    check("Answer", value)
    wire.parse_answer(json.dumps(value).encode(), ONE, "")


@pytest.mark.parametrize("value", WRONG, ids=lambda value: json.dumps(value)[-60:])
def test_what_the_schema_refuses_the_program_refuses(value):
    with pytest.raises(ValidationError):
        check("Answer", value)
    with pytest.raises(MCPError):
        wire.parse_answer(json.dumps(value).encode(), ONE, "")


def documented(section):
    """Names in the first column of the first table of a section."""
    text = CONTRACT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_all_three_name_the_same_fields():
    ours = {"Answer": wire._ANSWER, "Artifact": wire._ARTIFACT, "Problem": wire._PROBLEM}
    for name, schema in ours.items():
        fields = {key: field.get("required", True) for key, field in schema["fields"].items()}
        told = {key: key in SCHEMAS[name].get("required", ()) for key in SCHEMAS[name]["properties"]}
        # Whatever a registry says beside it is passed over.
        told.pop("details", None)
        assert fields == told
    assert documented("Answer") == set(SCHEMAS["Answer"]["properties"]) | set(
        SCHEMAS["Artifact"]["properties"]
    )


def test_all_three_name_the_same_statuses_and_bounds():
    statuses = set(SCHEMAS["Answer"]["properties"]["status"]["enum"]) - {None}
    assert documented("Status") == {"status"} | statuses
    assert "8192" in CONTRACT
    assert SCHEMAS["Artifact"]["properties"]["size_bytes"]["maximum"] == wire._LARGEST_SIZE
    assert wire.LARGEST_ANSWER == 1 << 20
    assert "| resolve answer | 1 MB |" in CONTRACT


def test_errors_in_the_contract_are_codes_of_the_program():
    codes = set(re.findall(r"^\| `([a-z-]+)`", read("ERRORS.md"), re.MULTILINE))
    text = CONTRACT.partition("\n## Errors\n")[2].partition("\n## ")[0]
    named = {
        code
        for line in text.splitlines()
        if line.startswith("|")
        for code in re.findall(r"`([a-z]+-[a-z-]+|forbidden|unauthorized)`", line)
    }

    assert named
    assert named <= codes


def test_every_check_of_doctor_is_in_the_contract_with_its_section():
    headings = set(re.findall(r"^## (.+)$", CONTRACT, re.MULTILINE))
    table = CONTRACT.partition("\n## Conformance\n")[2]
    rows = re.findall(
        r"^\| `([a-z ]+)` \| (must|should) \| \[([A-Za-z ]+)\]\(#[a-z-]+\): (.+) \|$", table, re.MULTILINE
    )

    assert rows == [(name, rule.level, rule.section, rule.expected) for name, rule in RULES.items()]
    assert {rule.section for rule in RULES.values()} <= headings
