#!/bin/sh
# Make the files of a Xen host out of Debian 12 packages: build.sh FOLDER
#
#   xen, vmlinux, initrd   what QEMU boots: hypervisor, dom0's kernel, and a first root for it
#   disk.ext4              dom0's file system, with the guests' kernel and initramfs in it
#   home/.ssh              a key that logs in to dom0, and dom0's host key
#
# It needs what debian.sh says.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
shared=$here/../../emulated
. "$shared/debian.sh"
mkdir -p "$1"
cd "$1"
rm -rf root boot guest
trap 'rm -rf root boot guest' EXIT

debian xen-utils-4.17,xen-utils-common,xenstore-utils,tcpdump,sudo xen-hypervisor-4.17-amd64
zcat boot/boot/xen-4.17-amd64.gz >xen
unpacked_kernel
modules xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xen-netback xen-netfront \
    virtio_pci virtio_blk virtio_net virtio_rng ext4 bridge 8021q br_netfilter dummy veth \
    sch_ingress sch_fq_codel sch_tbf cls_u32 cls_flower cls_matchall act_mirred act_gact \
    nf_tables openvswitch
first_roots "$shared" xen-netfront
login
install -m 600 home/.ssh/id_ed25519 root/root/.ssh/id_ed25519 # to migrate to itself
printf 'localhost %s\n' "$(cut -d ' ' -f 1,2 host_key.pub)" >root/root/.ssh/known_hosts
install -m 755 "$here/dom0.sh" root/sbin/dom0
disk 480M
