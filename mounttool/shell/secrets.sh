#!/bin/sh
# Secrets that the node reads itself. They are kept in the script's own variables: nothing of them is written but what a
# plan declares. Uses aws.sh, and of prelude.sh refuse, hint and what step does with `unread`.
# shellcheck disable=SC2154,SC2034
patience=60

# secret NUMBER REFERENCE: read it into secret_NUMBER, once for all plans of the script.
secret() {
    if [ "$act" != apply ] || [ "$failed" = 1 ]; then return; fi
    eval "reason=\${unread_$1-not read yet}"
    if [ "$reason" = "not read yet" ]; then
        if value=$(aws_patiently "$patience" aws_secret "$2" 2>"$scratch/unread" && echo x); then
            reason=
            eval "secret_$1=\${value%x}"
        else
            reason=$(cat "$scratch/unread")
            # What did not answer for a minute is not waited for once more.
            case $reason in *"not reachable"* | *"does not answer"* | *"no credentials"* | *"no answer"*) patience=0 ;; esac
        fi
        value=
        eval "unread_$1=\$reason"
    fi
    [ -z "$reason" ] || unread="$unread${unread:+$newline}$2: $reason"
}

# One line of an environment file; in double quotes only these four need a backslash.
environment_line() {
    printf '%s="' "$1"
    printf '%s' "$2" | sed 's/[\\"`$]/\\&/g'
    printf '"\n'
}

# --- unread: a step that lacks a secret

unread_is() { return 1; }
unread_make() {
    hint "check the reference, that its region is the instance's own (an ARN names another), and that the instance's role may read it"
    refuse "$unread"
}
