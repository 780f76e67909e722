#!/bin/sh
# Boots one node, and boots it again after a reboot (nspawn exits with 133) or a power cut (the file "cut" is there).
#
# usage: node.sh FOLDER IMAGE GROUP NETNS [nspawn's options ...]
#
# It runs in a mount namespace of its own: the host never sees the node's mounts, and they go when this process goes.
# GROUP is the node's control group below the root of every hierarchy that this host has.
set -eu
folder=$1 image=$2 group=$3 netns=$4
shift 4

hierarchies=
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup/memory; do
    if [ -e "$hierarchy/cgroup.procs" ]; then hierarchies="$hierarchies $hierarchy"; fi
done

# Hand the controllers that the host gives us on to the nodes; a host without any (version 1 beside 2) has none to give.
delegate() {
    for root in $hierarchies; do
        [ -e "$root/$1/cgroup.controllers" ] || continue
        tr ' ' '\n' <"$root/$1/cgroup.controllers" | while read -r controller; do
            echo "+$controller" >"$root/$1/cgroup.subtree_control" || :
        done
    done 2>/dev/null
}

# Move the (sub)shell that calls into the group's child $1; 0 means "whoever writes this".
enter() {
    for root in $hierarchies; do
        mkdir -p "$root/$group/$1"
        echo 0 >"$root/$group/$1/cgroup.procs"
    done
}

leave() {
    for root in $hierarchies; do
        find "$root/$group/$1" -depth -type d -exec rmdir {} + 2>/dev/null || :
    done
}

# Whoever wants to delete the image sees by this lock that a node runs from it.
exec 9<"$image"
flock --shared 9

enter loop
delegate "${group%/*}"
delegate "$group"

mount -t overlay overlay -o "lowerdir=$image,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
mount --bind "/run/netns/$netns" "$folder/netns"
# nspawn keeps its files in /run, and looks there for a systemd to talk to: give it an empty one, the same on every host.
mount -t tmpfs -o mode=755 tmpfs /run

# The host's kernel may lack some calls that CRIU and FUSE daemons use; a node is no place of confinement anyway.
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_SECCOMP=0

# What a node's root may write of /proc/sys; a kernel without checkpoints lacks all but the first.
for setting in vm/drop_caches kernel/ns_last_pid kernel/sem_next_id kernel/msg_next_id kernel/shm_next_id; do
    [ ! -e "/proc/sys/$setting" ] || set -- "--bind=/proc/sys/$setting" "$@"
done

boot=0
while :; do
    boot=$((boot + 1))
    echo "boot $boot"
    status=0
    (
        # One group per boot: nodes that share one break each other, and one that was killed is not to be used again.
        enter "boot$boot"
        exec systemd-nspawn --boot --quiet --register=no --keep-unit --directory="$folder/root" \
            --resolv-conf=off --timezone=off --link-journal=no --console=pipe --capability=all \
            --network-namespace-path="$folder/netns" --bind="$folder/fuse:/dev/fuse" \
            "$@" 9<&-
    ) || status=$?
    echo "boot $boot ended with $status"
    leave "boot$boot"
    if [ "$status" -ne 133 ] && [ ! -e "$folder/cut" ]; then break; fi
    rm -f "$folder/cut"
done
