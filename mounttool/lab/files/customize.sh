#!/bin/sh
# Turns a fresh Debian tree ($1) into the image that every lab node and the storage node boot from.
# Called by mmdebstrap after the packages are in. What differs between nodes (keys, names, passwords) never enters the image.
set -eu
root=$1

# No locale noise, no resolver (a node has no way out), no identity of its own.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/resolv.conf" "$root/etc/hostname" "$root/var/lib/dbus/machine-id"
: >"$root/etc/resolv.conf"
: >"$root/etc/machine-id"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*

for user in ops opspw nosudo; do
    chroot "$root" useradd --create-home --shell /bin/bash "$user"
done
cat >"$root/etc/sudoers.d/lab" <<'SUDO'
ops ALL=(ALL) NOPASSWD: ALL
opspw ALL=(ALL) ALL
SUDO
chmod 0440 "$root/etc/sudoers.d/lab"

mkdir -p "$root/etc/ssh/lab"
cat >"$root/etc/ssh/sshd_config.d/lab.conf" <<'SSHD'
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/lab/authorized_keys .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
AcceptEnv none
PrintMotd no
PrintLastLog no
MaxStartups 100:30:200
MaxSessions 100
SSHD

# Until systemd-user-sessions has run, PAM refuses everybody but root.
mkdir -p "$root/etc/systemd/system/ssh.service.d"
printf '[Unit]\nAfter=systemd-user-sessions.service\n' >"$root/etc/systemd/system/ssh.service.d/lab.conf"

# files/node.sh lays these files over the read-only /proc/sys, so that a node's root can drop caches, and CRIU restore the
# numbers of processes, as on a real machine. It is the host's kernel that drops caches, for all nodes; the numbers are
# the node's own. No other setting of the host's can be written.
cat >"$root/etc/systemd/system/writable-settings.service" <<'UNIT'
[Unit]
Description=Let root drop the page cache, and CRIU choose numbers
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/mount -o remount,bind,rw /proc/sys/vm/drop_caches
ExecStart=-/usr/bin/mount -o remount,bind,rw /proc/sys/kernel/ns_last_pid
ExecStart=-/usr/bin/mount -o remount,bind,rw /proc/sys/kernel/sem_next_id
ExecStart=-/usr/bin/mount -o remount,bind,rw /proc/sys/kernel/msg_next_id
ExecStart=-/usr/bin/mount -o remount,bind,rw /proc/sys/kernel/shm_next_id

[Install]
WantedBy=sysinit.target
UNIT
systemctl --root="$root" enable --quiet writable-settings.service

mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nSystemMaxUse=64M\nRuntimeMaxUse=32M\n' >"$root/etc/systemd/journald.conf.d/lab.conf"

# The storage services run on the storage node alone, which asks for them; they share one certificate there.
systemctl --root="$root" disable --quiet redis-server.service mariadb.service postgresql.service
for unit in nfs-ganesha nfs-ganesha-lock stunnel4 rpcbind rpcbind.socket nfs-client.target nfs-blkmap; do
    systemctl --root="$root" disable --quiet "$unit" 2>/dev/null || :
done
for user in redis mysql; do
    chroot "$root" usermod --append --groups ssl-cert "$user"
done
# The package made MariaDB's files with a log of 96 MB, which each lab's first start would copy into the node's own layer.
printf '[mysqld]\ninnodb_log_file_size = 16M\n' >"$root/etc/mysql/mariadb.conf.d/80-lab.cnf"
find "$root/var/lib/mysql" -mindepth 1 -delete
chroot "$root" mariadb-install-db --user=mysql --skip-test-db --auth-root-authentication-method=socket >/dev/null

# sshd-keygen would add RSA and ECDSA keys to the one that the lab makes for each node, at the price of a slow first boot.
for unit in sshd-keygen.service console-getty.service getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
