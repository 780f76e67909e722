#!/bin/sh
# What a script begins with that nobody could ask for its node: what was declared of it must be true.
# Set by the caller: declared, lines of KEY=VALUE; facts, which prints such lines of this machine.
# shellcheck disable=SC2154
declared_is_true() {
    found=$(facts 2>/dev/null)
    printf '%s\n' "$declared" | while IFS='=' read -r key value; do
        here=$(printf '%s\n' "$found" | sed -n "s/^$key=//p")
        [ "$here" != "$value" ] || continue
        case $key in
            # RHEL and Rocky name their minor release, too.
            version) case $here in "$value".*) continue ;; esac ;;
            # The kernel keeps some of an instance type's memory for itself.
            memory_kib) [ "${here:-0}" -gt "$value" ] || [ "${here:-0}" -lt $((value * 4 / 5)) ] || continue ;;
            user) here="$here (run it as root)" ;;
        esac
        printf '%s' "its $key is ${here:-unknown}, declared was $value"
        break
    done
}
untrue=$(declared_is_true)
if [ -n "$untrue" ]; then
    printf 'mounttool\tfatal\tthis script is for another node: %s; nothing was done\n' "$untrue"
    exit 1
fi
