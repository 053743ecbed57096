# Sourced: makes `terraform init` find the AWS provider, by network or from a mirror on this machine.
# PLUGIN_DIR, or a TF_CLI_CONFIG_FILE that is there, is taken as it is.

find_provider() { # folder for a CLI configuration, initialised module to try with
    export CHECKPOINT_DISABLE=1
    [ -n "${TF_CLI_CONFIG_FILE:-}" ] && [ ! -r "$TF_CLI_CONFIG_FILE" ] && unset TF_CLI_CONFIG_FILE
    local mirror="${PLUGIN_DIR:-}"
    if [ -z "$mirror" ]; then
        if (cd "$2" && timeout 90 terraform init -input=false -no-color >/dev/null 2>&1); then
            return 0
        fi
        mirror=$(find "$HOME/.terraform.d" /usr/share/terraform /usr/local/share /opt /usr "$HOME" -maxdepth 6 -type d \
            -path '*/registry.terraform.io/hashicorp/aws' 2>/dev/null | head -n 1)
        mirror="${mirror%/registry.terraform.io/hashicorp/aws}"
    fi
    if [ -z "$mirror" ]; then
        echo "SKIPPED: no AWS provider: no registry can be reached, and there is no mirror on this machine (set PLUGIN_DIR)" >&2
        return 1
    fi
    printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$mirror" >"$1/terraform.rc"
    export TF_CLI_CONFIG_FILE="$1/terraform.rc"
    (cd "$2" && terraform init -input=false -no-color >/dev/null)
}
