#!/usr/bin/env bash
# Checks the alerts in deploy/prometheus, runs their unit tests, and checks every query of the
# dashboard in deploy/grafana.
set -euo pipefail
cd "$(dirname "$0")/.."

promtool=$(hack/build-promtool.sh)
"$promtool" check rules --lint=all --lint-fatal deploy/prometheus/rules.yaml
"$promtool" test rules deploy/prometheus/tests.yaml

queries=$(mktemp "${TMPDIR:-/tmp}/dashboard-rules.XXXXXX")
trap 'rm -f "$queries"' EXIT
# Each query becomes a recording rule, with Grafana's variables filled in.
python3 - deploy/grafana/dashboard.json >"$queries" <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    dashboard = json.load(file)
targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
rules = [
    {
        "record": f"dashboard:query_{number}",
        "expr": target["expr"].replace("$__rate_interval", "5m").replace("$__range", "1h").replace("$job", ".+"),
    }
    for number, target in enumerate(targets)
]
assert rules, "the dashboard has no query"
json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, sys.stdout)
PYTHON
"$promtool" check rules "$queries"
