#!/bin/sh
# What mount.sh makes of its arguments, which are those of aws-hpc-recipes: BUCKET DIRECTORY [OPTIONS]. Set by the caller:
# recipe_options, the default. Sets what the plan that follows leaves open. Text that would need quoting in a unit is
# refused, so that what is taken stands everywhere as it is.
# shellcheck disable=SC2034
export LC_ALL=C

recipe_fatal() {
    printf 'mounttool\tfatal\tmount.sh: %s\n' "$*"
    exit 1
}

recipe_arguments() {
    [ "$#" -ge 2 ] || recipe_fatal "expected BUCKET DIRECTORY [OPTIONS]"
    recipe_bucket=$1 recipe_directory=$2
    shift 2
    [ -z "$*" ] || recipe_options=$*
    case $recipe_bucket in
        *[!A-Za-z0-9.:/_-]* | ? | ?? | [!A-Za-z0-9]* | '') recipe_fatal "'$recipe_bucket': expected a bucket's name, or the ARN of an access point" ;;
    esac
    case $recipe_directory/ in
        *[!A-Za-z0-9/._+=,@-]* | */./* | */../* | [!/]*) recipe_fatal "'$recipe_directory': expected an absolute path of letters, digits and /._+=,@-" ;;
    esac
    recipe_path=$(printf '%s\n' "$recipe_directory" | sed 's,//*,/,g; s,/$,,')
    if [ -z "$recipe_path" ] || [ "${#recipe_path}" -gt 200 ]; then
        recipe_fatal "'$recipe_directory': expected a path below / of at most 200 characters"
    fi
    case $recipe_options in
        *[!A-Za-z0-9/._+=,@:\ -]*) recipe_fatal "'$recipe_options': expected options of letters, digits and /._+=,@:- only" ;;
    esac
    recipe_words
    # The recipe's name for the unit.
    recipe_id=$(printf '%s' "$recipe_bucket:$recipe_path" | md5sum | cut -c 1-8)
    recipe_name=s3-$(printf '%s' "$recipe_bucket:$recipe_directory" | sha256sum | cut -c 1-8)
}

# Each option is a quoted word of the unit; a few of them mean something to the plan.
recipe_words() {
    recipe_flags='' recipe_read_only=0 shared='' region='' endpoint='' previous=''
    set -f
    for word in $recipe_options; do
        recipe_flags=$recipe_flags${recipe_flags:+'" "'}$word
        case $word in
            -f | --foreground) recipe_fatal "no --foreground: the unit sets it" ;;
            --read-only) recipe_read_only=1 ;;
            --allow-root | --allow-other) shared=1 ;;
            --region=*) region=${region:-${word#*=}} ;;
            --endpoint-url=*) endpoint=${endpoint:-${word#*=}} ;;
        esac
        case $previous in
            --region) region=${region:-$word} ;;
            --endpoint-url) endpoint=${endpoint:-$word} ;;
        esac
        previous=$word
    done
    set +f
    [ -n "$shared" ] || recipe_fatal "expected --allow-root or --allow-other among the options: otherwise nobody could see how the mount is"
    recipe_address "${endpoint:-https://s3.${region:+$region.}amazonaws.com}"
}

recipe_address() {
    recipe_host=${1#*://}
    recipe_host=${recipe_host%%/*}
    case $1 in
        http://*) recipe_port=80 ;;
        https://*) recipe_port=443 ;;
        *) recipe_fatal "'$1': expected http://HOST:PORT or https://HOST:PORT as the endpoint" ;;
    esac
    case $recipe_host in
        *:*) recipe_port=${recipe_host##*:} recipe_host=${recipe_host%%:*} ;;
    esac
    case $recipe_port in
        '' | *[!0-9]*) recipe_fatal "'$1': expected http://HOST:PORT or https://HOST:PORT as the endpoint" ;;
    esac
}

# Whom the distribution's image is made for.
recipe_node() {
    [ "$(id -u)" = 0 ] || recipe_fatal "run it as root"
    [ -d /run/systemd/system ] || recipe_fatal "systemd does not run on this node"
    [ -c /dev/fuse ] || recipe_fatal "/dev/fuse is missing on this node: modprobe fuse"
    command -v mount-s3 >/dev/null || recipe_fatal "mount-s3 is not installed: run install.sh first"
    # shellcheck disable=SC1091
    case $(. /etc/os-release 2>/dev/null && printf '%s' "${ID-}") in
        ubuntu) recipe_user=ubuntu ;;
        rocky) recipe_user=rocky ;;
        debian) recipe_user="admin" ;;
        *) recipe_user=ec2-user ;;
    esac
}

recipe_arguments "$@"
recipe_node
