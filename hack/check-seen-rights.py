"""Fails if the operator's roles in the cluster allow what no end-to-end test used: nobody has shown that it is needed.

    check-seen-rights.py RBAC FOLDER    the manifest with the roles, and the audit logs of the API servers

What they do not allow, the API server refuses, and the tests fail.
"""

import itertools
import json
import pathlib
import sys

import yaml

NAME = "port-aws-operator"
USER = f"system:serviceaccount:{NAME}:{NAME}"
# Not brought about by a test on a real API server, with the reason.
SHOWN_ELSEWHERE = {
    ("get", "integrations.port.io", "portawsaccesses"): "after a write whose answer was lost, as in the simulation",
}


def rights(manifest):
    """Each right by itself: verb, group, resource, name or None, namespace or None."""
    for document in yaml.safe_load_all(manifest.read_text()):
        if document["kind"] not in ("ClusterRole", "Role") or document["metadata"]["name"] != NAME:
            continue
        for rule in document["rules"]:
            names = rule.get("resourceNames", [None])
            for verb, group, resource, name in itertools.product(
                rule["verbs"], rule["apiGroups"], rule["resources"], names
            ):
                yield verb, group, resource, name, document["metadata"].get("namespace")


def requests(folder):
    """What the operator asked for and was allowed, in the same form."""
    for log in sorted(folder.glob("*.log")):
        for line in log.open():
            if USER not in line or not line.endswith("\n"):
                continue
            event = json.loads(line)
            allowed = event.get("annotations", {}).get("authorization.k8s.io/decision") == "allow"
            if event["user"]["username"] != USER or not allowed or "objectRef" not in event:
                continue
            target = event["objectRef"]
            resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
            yield event["verb"], target.get("apiGroup", ""), resource, target.get("name"), target.get("namespace")


def covers(right, request):
    verb, group, resource, name, namespace = right
    return (
        (verb, group, resource) == request[:3]
        and name in (None, request[3])
        and namespace in (None, request[4])
    )


def main():
    manifest, folder = map(pathlib.Path, sys.argv[1:])
    seen = set(requests(folder))
    if not seen:
        sys.exit(f"{folder}: no request of {USER}")
    unused = [
        right
        for right in rights(manifest)
        if right[:3] not in SHOWN_ELSEWHERE and not any(covers(right, request) for request in seen)
    ]
    for verb, group, resource, name, _ in unused:
        print(f"{manifest}: no test used {verb} {group}/{resource} {name or ''}", file=sys.stderr)
    sys.exit(1 if unused else 0)


main()
