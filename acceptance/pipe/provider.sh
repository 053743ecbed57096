# Sourced: lets `terraform init` find the AWS provider, in the registry or in a mirror on this machine.
# A given PLUGIN_DIR, or a TF_CLI_CONFIG_FILE that can be read, is used unchanged.

find_provider() { # folder for a CLI configuration, module to initialise
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
        echo "SKIPPED: the AWS provider is missing and no registry answers: set PLUGIN_DIR to a mirror of providers" >&2
        return 1
    fi
    printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$mirror" >"$1/terraform.rc"
    export TF_CLI_CONFIG_FILE="$1/terraform.rc"
    if ! (cd "$2" && terraform init -input=false -no-color >/dev/null); then
        echo "SKIPPED: the mirror $mirror has no suitable AWS provider: set PLUGIN_DIR to another one" >&2
        return 1
    fi
}
