#!/bin/sh
# Turns the image's tree into the disk that kernel nodes boot from: kernel-image.sh TREE MODULES DISK
# It runs in a mount namespace of its own. The tree is not changed: what kernel nodes have beside it lies in a layer over it.
set -eu
tree=$1 modules=$2 disk=$3
work=$(mktemp -d "$disk.XXXXXX")
trap 'umount "$work/root" 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$work/upper,workdir=$work/work" "$work/root"
root=$work/root

mkdir -p "$root/lib/modules"
cp -a "$modules"/. "$root/lib/modules/"
printf '/dev/ubda / ext4 defaults,noatime 0 0\n' >"$root/etc/fstab"

# What a container node finds laid out by the host, this one fetches at its first boot: its name, keys and passwords. Its
# network comes from the kernel's command line.
cat >"$root/usr/local/sbin/lab-node" <<'SCRIPT'
#!/bin/sh
set -eu
for word in $(cat /proc/cmdline); do
    case $word in lab.seed=*) seed=${word#*=} ;; lab.address=*) address=${word#*=} ;; esac
done
if [ ! -e /etc/lab-seeded ]; then
    mkdir -p /run/lab-seed
    mount -t hostfs -o "$seed" none /run/lab-seed
    cp -a /run/lab-seed/. /
    umount /run/lab-seed
    hostname -F /etc/hostname
    touch /etc/lab-seeded
fi
ip link set lo up
ip link set vec0 up
ip addr add "$address" dev vec0
SCRIPT
chmod 0755 "$root/usr/local/sbin/lab-node"
cat >"$root/etc/systemd/system/lab-node.service" <<'UNIT'
[Unit]
Description=Be this node of the lab
DefaultDependencies=no
After=systemd-remount-fs.service local-fs.target systemd-tmpfiles-setup.service
Before=network-pre.target network.target network-online.target ssh.service
Wants=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/lab-node

[Install]
WantedBy=sysinit.target network-online.target
UNIT
# Without the whole coldplug, which takes long on one slow processor, units still must learn of disks.
cat >"$root/etc/systemd/system/lab-disks.service" <<'UNIT'
[Unit]
Description=Tell udev of the disks
DefaultDependencies=no
After=systemd-udevd.service
Before=local-fs-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/udevadm trigger --subsystem-match=block

[Install]
WantedBy=sysinit.target
UNIT
systemctl --root="$root" enable --quiet lab-node.service lab-disks.service
systemctl --root="$root" disable --quiet writable-settings.service
for unit in systemd-udev-trigger.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount getty@.service serial-getty@.service \
    systemd-timesyncd.service modprobe@drm.service modprobe@configfs.service modprobe@efi_pstore.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# Whatever makes systemd read its units anew runs all generators, for 4 s on this processor; one of them is needed.
mkdir -p "$root/etc/systemd/system-generators"
for generator in "$root"/usr/lib/systemd/system-generators/*; do
    name=${generator##*/}
    if [ "$name" != systemd-fstab-generator ]; then ln -sf /dev/null "$root/etc/systemd/system-generators/$name"; fi
done
mkfs.ext4 -q -F -d "$root" "$disk" 3G
