#!/bin/sh
# What a node needs after mounttool has gone: units call it to wait for a mount, to clear away a dead one and to let
# consumers start; mounttool itself calls it to look. It never hangs on storage: whatever could is run as a child that
# is left behind when its time is over.
#
#   node probe     MOUNT_POINT FSTYPE SOURCE ROOT_INODE READ_ONLY    prints one verdict and a detail, 0 when it is ok
#   node wait      SECONDS PID MOUNT_POINT FSTYPE SOURCE ROOT_INODE READ_ONLY
#   node heal      MOUNT_POINT                                       lazily unmounts what is dead
#   node busy      MOUNT_POINT                                       prints the processes using it, 0 when there are any
#   node release   GATE CONSUMER...                                  starts what waited in vain for this mount
#   node keep      UNIT GATE MOUNT_POINT ... READ_ONLY CONSUMER...   starts a mount unit again that failed or died; stays
#   node readahead MOUNT_POINT KIB                                   how far the kernel reads ahead
#
# FSTYPE and SOURCE may be empty: any; a SOURCE of *END is any that ends so. ROOT_INODE 0: any. PID 0: none to watch. READ_ONLY: 1 when the mount is meant to be so.
# POSIX sh; equal under dash, bash and busybox.
export LC_ALL=C
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
tab='	' newline='
'

# A path as mountinfo spells it.
as_in_mountinfo() {
    case $1 in
        *[\\\ "$tab"]*) printf '%s\n' "$1" | sed 's/\\/\\134/g; s/ /\\040/g; s/	/\\011/g' ;;
        *) printf '%s\n' "$1" ;;
    esac
}

# All mounts exactly at $1, the top one last: ID MAJOR:MINOR FSTYPE SOURCE ro|rw
mounts_at() {
    at=$(as_in_mountinfo "$1") awk '$5 == ENVIRON["at"] {
        for (i = 7; $i != "-"; i++);
        writable = ($6 ~ /(^|,)ro(,|$)/ || $(i + 3) ~ /(^|,)ro(,|$)/) ? "ro" : "rw"
        print $1, $3, $(i + 1), $(i + 2), writable
    }' /proc/self/mountinfo
}

is_source() {
    case $2 in
        '') ;;
        '*'*) case $1 in *"${2#?}") ;; *) return 1 ;; esac ;;
        *) [ "$1" = "$2" ] ;;
    esac
}

# Print the root's inode, or why there is none; status 124 when nothing answers within 5 s. The kernel tells the inode from
# its cache when a daemon or server is gone, but not a statfs. Who asks may never come back, and cannot always be killed (a
# hard NFS mount on an old kernel): nothing waits for them but a reader, who gives up.
ask() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    answer=$({
        {
            timeout -s KILL 5 sh -c 'stat -f -c %T "$1" >/dev/null && stat -c %i "$1"' ask "$1"
            echo "$?"
        } 2>&1 &
    } | timeout 6 cat)
    status=${answer##*"$newline"}
    printf '%s\n' "${answer%"$newline"*}"
    # A timeout of its own kill ends as one that was killed.
    case $status in '' | 137) return 124 ;; *) return "$status" ;; esac
}

probe() {
    read_only=$5
    found=$(mounts_at "$1")
    if [ -z "$found" ]; then
        echo "absent nothing is mounted at $1"
        return 1
    fi
    # shellcheck disable=SC2086 # five words without spaces: mountinfo escapes them
    set -- "$1" "$2" "$(as_in_mountinfo "$3")" "$4" "$5" ${found##*"$newline"}
    if { [ -n "$2" ] && [ "$8" != "$2" ]; } || ! is_source "$9" "$3"; then
        echo "wrong-source $8 from $9 is mounted, not ${2:-anything} from ${3:-anywhere}"
        return 1
    fi
    answer=$(ask "$1")
    case $? in
        0) ;;
        124)
            echo "hung no answer within 5 s"
            return 1
            ;;
        *)
            echo "dead ${answer##*: }"
            return 1
            ;;
    esac
    if [ "$4" != 0 ] && [ "$answer" != "$4" ]; then
        echo "wrong-source the root has inode $answer, not $4"
        return 1
    fi
    if [ "$found" != "${found##*"$newline"}" ]; then
        echo "stacked $(printf '%s\n' "$found" | wc -l) mounts on each other: $(printf '%s\n' "$found" | awk '{printf "%s%s", sep, $4; sep = ", "}')"
        return 1
    fi
    shift 9
    if [ "$1" = ro ] && [ "$read_only" != 1 ]; then
        echo "read-only mounted read-only"
        return 1
    fi
    echo "ok"
}

wait_until_mounted() {
    limit=$1 watched=$2
    shift 2
    end=$(($(date +%s) + limit)) turn=0
    while ! verdict=$(probe "$@"); do
        if [ "$watched" != 0 ] && ! kill -0 "$watched" 2>/dev/null; then
            echo "$1: the daemon is gone while waiting: $verdict" >&2
            return 1
        fi
        turn=$((turn + 1))
        if [ $((turn % 10)) = 0 ] && [ "$(date +%s)" -ge "$end" ]; then
            echo "$1: not mounted after $limit s: $verdict" >&2
            return 1
        fi
        # No client is there sooner; each look takes some of the time that it needs itself.
        if [ "$turn" = 1 ]; then sleep 0.2; else sleep 0.05; fi
    done
}

# Only what is dead goes: a lazy unmount of a mount that works would hide what others still write to.
heal() {
    found=$(mounts_at "$1")
    [ -n "$found" ] || return 0
    layers=$(printf '%s\n' "$found" | wc -l)
    while [ "$layers" -gt 0 ]; do
        answer=$(ask "$1") && return 0
        case $answer in
            *"not connected"* | *"tale file handle"* | *"nput/output error"* | *"No such device"* | *"Host is down"*)
                echo "$1: ${answer##*: }: lazily unmounting it" >&2
                umount -l "$1" || return 1
                ;;
            *) return 0 ;;
        esac
        layers=$((layers - 1))
    done
}

# The mount's own numbers say who uses it, also in containers with mount tables of their own; no path on it is touched.
# A directory that is mounted elsewhere shares its device with the disk: there the mount's root tells them apart.
busy() {
    entry=$(at=$(as_in_mountinfo "$1") awk '$5 == ENVIRON["at"] {found = $3 " " $4} END {print found}' /proc/self/mountinfo)
    [ -n "$entry" ] || return 1
    device=${entry% *} root=${entry#* }
    ids=$(cat /proc/[0-9]*/mountinfo 2>/dev/null | device=$device root=${root%/} awk '
        $3 == ENVIRON["device"] && index($4 "/", ENVIRON["root"] "/") == 1 && !seen[$1]++ {printf "%s%s", sep, $1; sep = "|"}')
    mapped=" $(printf '%02x:%02x ' "${device%:*}" "${device#*:}")"
    if [ "$root" != / ]; then mapped=" $1/"; fi
    users=$({
        grep -lE "^mnt_id:[[:space:]]+($ids)\$" /proc/[0-9]*/fdinfo/* 2>/dev/null
        grep -lF "$mapped" /proc/[0-9]*/maps 2>/dev/null
        for entry in /proc/[0-9]*/cwd /proc/[0-9]*/root; do
            case $(readlink "$entry" 2>/dev/null)/ in "$1"/*) echo "$entry" ;; esac
        done
    } | awk -F/ '!seen[$3]++ {print $3}')
    for user in $users; do
        [ "$user" = "$$" ] && continue
        # Programs such as the mount's own daemon hold its root, but none of its files, so they do not appear here.
        printf '%s %s\n' "$user" "$(tr '\000' ' ' <"/proc/$user/cmdline" 2>/dev/null | cut -c1-60)"
    done | grep . || return 1
}

# A consumer that gave up while the storage was away starts when it is back. One that an operator stopped stays stopped:
# its gate is still open then.
release() {
    gate=$1
    shift
    systemctl -q is-active "$gate" && return 0
    # On the very first start the gate is not there yet, and nothing waits.
    systemctl --no-block start "$gate" 2>/dev/null || return 0
    for consumer; do
        if systemctl -q is-enabled "$consumer" 2>/dev/null; then systemctl --no-block start "$consumer"; fi
    done
}

# A native mount unit cannot be restarted by systemd. Once it was there, it is started again when it failed or died; one
# that is inactive then was stopped by somebody, and stays so.
keep() {
    unit=$1 gate=$2 told='' seen=0 turn=0
    shift 2
    while :; do
        # A mount seldom dies without going: the mount table is read every time, the mount itself asked once a minute.
        if [ "$told" != ok ] || [ "$turn" -ge 6 ] || [ -z "$(mounts_at "$1")" ]; then
            turn=0
            verdict=$(probe "$1" "$2" "$3" "$4" "$5")
        fi
        turn=$((turn + 1)) word=${verdict%% *}
        if [ "$word" = ok ]; then
            seen=1
            [ "$told" = ok ] || [ -z "$gate" ] || (shift 5 && release "$gate" "$@")
        elif [ "$word" = dead ] || { [ "$word" = absent ] && { [ "$seen" = 0 ] || systemctl -q is-failed "$unit"; }; }; then
            [ "$told" = "$word" ] || echo "$1: $verdict: starting $unit"
            [ "$word" = absent ] || heal "$1"
            systemctl reset-failed "$unit" 2>/dev/null
            systemctl start "$unit" 2>/dev/null
        fi
        told=$word
        sleep 10
    done
}

# The kernel's udev rules set their own value when a mount appears: theirs must come first.
readahead() {
    if command -v udevadm >/dev/null; then udevadm settle -t 5; fi
    device=$(mounts_at "$1" | sed -n '$s/^[^ ]* \([^ ]*\) .*/\1/p')
    [ -n "$device" ] && echo "$2" >"/sys/class/bdi/$device/read_ahead_kb"
}

case ${1-} in
    probe)
        shift
        probe "$@"
        ;;
    wait)
        shift
        wait_until_mounted "$@"
        ;;
    heal) heal "$2" ;;
    busy) busy "$2" ;;
    release)
        shift
        release "$@"
        ;;
    keep)
        shift
        keep "$@"
        ;;
    readahead) readahead "$2" "$3" ;;
    *)
        echo "usage: node probe|wait|heal|busy|release|keep|readahead ..." >&2
        exit 2
        ;;
esac
