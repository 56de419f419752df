#!/bin/sh
# The Dagster UI and daemon on this workspace, at 127.0.0.1, its own records kept in the data folder.
set -u
umask 077 # what runs write is their user's alone
cd "$(dirname "$0")/.." || exit 1

port=$1
bin=${VENV:-.venv}/bin
data=${MILEPOST_DATA:-data}
DAGSTER_HOME=$(mkdir -p "$data/.dagster" && cd "$data/.dagster" && pwd) || {
    echo "The folder $data/.dagster cannot be written: choose another data folder with DATA=." >&2
    exit 1
}
export DAGSTER_HOME

"$bin/python" -c 'import socket, sys; socket.create_server(("127.0.0.1", int(sys.argv[1]))).close()' "$port" 2>/dev/null || {
    echo "Port $port is taken: choose another with PORT=." >&2
    exit 1
}

# One run at a time, because the warehouse has one writer; a run whose process died is ended after an hour.
# Ticks are thrown away here, old runs after each refresh (keep_dagster_runs in milepost.toml).
cat >"$DAGSTER_HOME/dagster.yaml" <<'YAML'
telemetry:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1
run_monitoring:
  enabled: true
  max_runtime_seconds: 3600
retention:
  schedule:
    purge_after_days: 30
  sensor:
    purge_after_days: 7
YAML

echo "Dagster at http://127.0.0.1:$port over $data; Ctrl-C ends it."
export PYTHONWARNINGS=ignore:Function
exec "$bin/dagster" dev -w workspace.yaml -h 127.0.0.1 -p "$port" --log-level warning
