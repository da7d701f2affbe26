"""Checks the folder deploy/aws: the CloudFormation templates with cfn-lint, the IAM
policies with parliament (each action, its resources and its condition keys), and the
Terraform module by parsing it and following its references. Nothing is downloaded:
`terraform validate` would need the provider for AWS."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hcl2
from parliament import analyze_policy_string

REFERENCE = re.compile(r"\b(var|data|local|aws_\w+)\.([\w-]+)(?:\.([\w-]+))?")
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
TEMPLATE = re.compile(r'templatefile\("\$\{path\.module\}/([^"]+)", \{([^}]*)\}\)')


def templates(folder: Path) -> Iterator[str]:
    """What cfn-lint says; warnings count."""
    files = sorted(map(str, folder.glob("*.yaml")))
    run = [sys.executable, "-c", "from cfnlint.runner import main; main()", *files]
    result = subprocess.run(
        run, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if result.returncode or not files:
        yield f"cfn-lint: {result.stdout}{result.stderr}"


def policies(folder: Path) -> Iterator[str]:
    """What parliament says about each policy."""
    for path in sorted(folder.glob("*.json")):
        yield from policy(path.name, path.read_text())


def policy(name: str, text: str) -> Iterator[str]:
    """What parliament says about one policy."""
    for finding in analyze_policy_string(text).findings:
        yield f"{name}: {finding.issue} {finding.detail} {finding.location}"


def terraform(folder: Path) -> Iterator[str]:
    """References to nothing, variables that nobody uses, and templates."""
    declared, used = set(), set()
    for path in sorted(folder.glob("*.tf")):
        text = path.read_text()
        for kind, blocks in hcl2.loads(text).items():
            for block in blocks if isinstance(blocks, list) else []:
                declared.update(names(kind, block))
        code = re.sub(r"#.*", "", text)
        used.update(name(*match.groups()) for match in REFERENCE.finditer(code))
        for file, given in TEMPLATE.findall(code):
            yield from template(folder / file, set(re.findall(r"(\w+)\s*=", given)))
    yield from (f"terraform: nothing is declared as {it}" for it in used - declared)
    unused = {it for it in declared - used if it.startswith(("var.", "data."))}
    yield from (f"terraform: {it} is not used" for it in unused)
    if not declared:
        yield f"terraform: no module in {folder}"


def name(kind: str, first: str, second: str | None) -> str:
    """What a reference is about, without the attribute."""
    parts = [kind, first, second] if kind == "data" else [kind, first]
    return ".".join(str(part) for part in parts)


def names(kind: str, block: dict[str, object]) -> Iterator[str]:
    """The names under which a block is referred to."""
    for label, body in block.items():
        label = label.strip('"')
        if kind == "variable":
            yield f"var.{label}"
        elif kind == "locals":
            yield f"local.{label}"
        elif kind in ("data", "resource") and isinstance(body, dict):
            prefix = "data." if kind == "data" else ""
            yield from (f"{prefix}{label}.{it}".replace('"', "") for it in body)


def template(path: Path, given: set[str]) -> Iterator[str]:
    """Whether a policy with placeholders gets them all, and is one then."""
    text = path.read_text()
    wanted = set(PLACEHOLDER.findall(text))
    if wanted != given:
        yield f"{path.name}: has {sorted(wanted)} and is given {sorted(given)}"
    filled = PLACEHOLDER.sub("111122223333", text)
    if "${" in filled or "%{" in filled:
        yield f"{path.name}: more than names is substituted"
    json.loads(filled)
    yield from policy(path.name, filled)


def main() -> None:
    """Prints what is wrong, and fails if anything is."""
    folder = Path(sys.argv[1])
    findings = [*templates(folder), *policies(folder), *terraform(folder / "terraform")]
    for finding in findings:
        print(finding, file=sys.stderr)
    if findings:
        sys.exit(1)
    print("deploy/aws: templates, policies and Terraform module are in order")


if __name__ == "__main__":
    main()
