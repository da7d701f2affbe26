"""The AWS side of the tests on a node: prepares the account, and judges what was done in it.

    aws.py URL prepare       the operator's role, for its ServiceAccount, and a provider for the cluster's issuer
    aws.py URL role NAME     the trust and the policies of a role, as JSON
    aws.py URL attack NAME   gives a role administrator's rights, and opens it to any subject of the issuer
    aws.py URL check COUNT   that COUNT roles were made, each once and by one process at a time, with its Pod's token
"""

import json
import sys
import urllib.request
from pathlib import Path

import boto3

ACCOUNT = "111122223333"
ISSUER = "kubernetes.default.svc"
OPERATOR = "port-aws-operator"
READS = ("Get", "List")


def control(url, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/_control/{path}", data=data)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def iam(url):
    """As an administrator of the account."""
    issued = control(url, "credentials", {"account": ACCOUNT, "role": "administrator"})
    keys = issued["accessKeyId"], issued["secretAccessKey"], issued["sessionToken"]
    return boto3.Session(*keys, region_name="eu-west-1").client("iam", endpoint_url=url)


def prepare(url):
    """What docs/install.md asks for: IRSA, with the published policy."""
    client = iam(url)
    audience = "sts.amazonaws.com"
    provider = client.create_open_id_connect_provider(Url=f"https://{ISSUER}", ClientIDList=[audience])
    subject = f"system:serviceaccount:{OPERATOR}:{OPERATOR}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider["OpenIDConnectProviderArn"]},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{ISSUER}:aud": audience, f"{ISSUER}:sub": subject}},
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client.create_role(RoleName=OPERATOR, AssumeRolePolicyDocument=trust)
    policy = Path("deploy/aws/operator-policy.json").read_text()
    client.put_role_policy(RoleName=OPERATOR, PolicyName=OPERATOR, PolicyDocument=policy)


def role(url, name):
    found = {one["name"]: one for one in control(url, f"state?account={ACCOUNT}")["roles"]}
    if name not in found:
        sys.exit(f"there is no role {name}")
    print(json.dumps(found[name], indent=2))


def attack(url, name):
    client = iam(url)
    trust = client.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    for statement in trust["Statement"]:
        statement.pop("Condition")
    client.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    client.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")


def writers(writes):
    """From when to when each session wrote, in the order of their beginnings."""
    spans = {}
    for call in writes:
        first, last = spans.get(call["accessKeyId"], (call["time"], call["time"]))
        spans[call["accessKeyId"]] = min(first, call["time"]), max(last, call["endTime"])
    return sorted(spans.values())


def check(url, count):
    calls = control(url, "calls")["calls"]
    mine = [call for call in calls if OPERATOR in call["userAgent"]]
    sessions = [call for call in calls if call["action"] == "AssumeRoleWithWebIdentity" and call["status"] == 200]
    writes = [call for call in mine if call["service"] == "iam" and not call["action"].startswith(READS)]
    refused = [f"{call['action']} {call['errorCode']}" for call in writes if call["status"] not in (200, None)]
    made = [call["params"]["RoleName"] for call in writes if call["action"] == "CreateRole" and call["status"] == 200]
    spans = writers(writes)
    print(f"{len(sessions)} sessions, {len(writes)} writes by {len(spans)} of them, {len(made)} roles made")
    problems = [f"a write was refused: {one}" for one in refused]
    problems += [f"{name} was made twice" for name in set(made) if made.count(name) > 1]
    problems += [f"wrote until {a[1]}, and another from {b[0]}" for a, b in zip(spans, spans[1:]) if b[0] < a[1]]
    if len(made) != int(count):
        problems.append(f"{count} roles were expected")
    if len(spans) < 2 or len(sessions) < len(spans):
        problems.append("more than one process should have written, each with its own session")
    sys.exit("\n".join(problems) or 0)


def main():
    url, command, *arguments = sys.argv[1:]
    {"prepare": prepare, "role": role, "attack": attack, "check": check}[command](url, *arguments)


main()
