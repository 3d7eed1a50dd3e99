#!/bin/sh
# Make the files of a KVM server out of Debian 12 packages: build.sh FOLDER
#
#   vmlinux, initrd   what QEMU boots: the server's kernel, and a first root for it
#   disk.ext4         its file system, with the guests' kernel and initramfs in it
#   home/.ssh         a key that logs in to it, and its host key
#
# It needs what debian.sh says.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
shared=$here/../../../../../envs/hosts/emulated
. "$shared/debian.sh"
mkdir -p "$1"
cd "$1"
rm -rf root boot guest
trap 'rm -rf root boot guest' EXIT

debian systemd-sysv,dbus,libvirt-daemon-system,libvirt-clients,qemu-system-x86,nftables
unpacked_kernel
modules virtio_pci virtio_blk virtio_rng e1000e ext4 kvm kvm_amd vhost_net tun autofs4 \
    bridge 8021q br_netfilter dummy veth nf_tables virtio_net \
    sch_ingress sch_fq_codel sch_tbf cls_u32 cls_flower cls_matchall act_mirred act_gact
first_roots "$shared" virtio_pci virtio_net
login
cp -r "$here/root" .
chmod 755 root/usr/local/sbin/*
chroot root systemctl -q enable systemd-networkd guests
chroot root systemctl -q mask systemd-networkd-wait-online systemd-timesyncd libvirt-guests \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    logrotate.timer systemd-tmpfiles-clean.timer e2scrub_reap
rm -f root/etc/libvirt/qemu/networks/autostart/*
disk 900M
