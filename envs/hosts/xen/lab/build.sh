#!/bin/sh
# Make the files of a Xen host out of Debian 12 packages: build.sh FOLDER
#
#   xen, vmlinux, initrd   what QEMU boots: hypervisor, dom0's kernel, and a first root for it
#   dom0.ext4              dom0's file system, with the guests' kernel and initramfs in it
#   home/.ssh              a key that logs in to dom0, and dom0's host key
#
# Needs root, mmdebstrap, cpio, zstd, mke2fs, ssh-keygen, python3 and a mirror.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
rm -rf root boot guest
trap 'rm -rf root boot guest' EXIT

# dom0: the toolstack, sshd, and what the tuner asks; kernel and hypervisor are only unpacked, as
# installing them would build an initramfs and a boot loader's configuration for nothing.
packages=xen-utils-4.17,xen-utils-common,xenstore-utils,openssh-server,iproute2,ethtool,procps
packages=$packages,kmod,udev,iputils-ping,iperf3,tcpdump,netbase,sudo,busybox-static
download='apt-get update -qq && mkdir /debs && cd /debs && apt-get download -qq xen-hypervisor-4.17-amd64 \
    "$(apt-cache depends linux-image-amd64 | sed -n "s/.*Depends: \(linux-image-.*\)/\1/p" | head -n 1)"'
sources=
if grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
    sources=$(ls /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
fi
# shellcheck disable=SC2086 # file names without blanks, none of them or several
[ -f root.tar ] || mmdebstrap --quiet --variant=minbase --mode=root --include="$packages" \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="chroot \"\$1\" sh -c '$download'" \
    bookworm root.tar $sources
mkdir root boot
tar -C root -xf root.tar
for package in root/debs/*.deb; do dpkg-deb -x "$package" boot; done
rm -r root/debs
release=$(basename boot/lib/modules/*)

# An uncompressed kernel: emulated, unpacking it takes seconds for dom0 and for every guest.
zcat boot/boot/xen-4.17-amd64.gz >xen
python3 - "boot/boot/vmlinuz-$release" >vmlinux <<'PYTHON'
import lzma, pathlib, sys
image = pathlib.Path(sys.argv[1]).read_bytes()
start = image.index(b"\xfd7zXZ\0")
sys.stdout.buffer.write(lzma.LZMADecompressor().decompress(image[start:]))
PYTHON

# Of the modules only those that are used, with what they depend on.
mkdir -p root/lib/modules
cp -a "boot/lib/modules/$release" root/lib/modules/
chroot root depmod "$release"
with_depends() {
    for name; do chroot root modprobe -S "$release" --show-depends "$name" 2>/dev/null || true; done |
        sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}
with_depends xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xen-netback xen-netfront \
    virtio_pci virtio_blk virtio_net virtio_rng ext4 bridge 8021q br_netfilter dummy veth \
    sch_ingress sch_fq_codel sch_tbf cls_u32 cls_flower cls_matchall act_mirred act_gact \
    nf_tables openvswitch >used
sed 's,^/,,' used | tar -C root -cf used.tar -T -
rm -rf "root/lib/modules/$release/kernel"
tar -C root -xf used.tar
rm used used.tar
chroot root depmod "$release"

# A first root is an initramfs of busybox, some modules and an init.
first_root() { # FOLDER INIT MODULE...
    mkdir -p "$1/bin" "$1/modules" "$1/proc" "$1/sys" "$1/dev" "$1/tmp" "$1/newroot"
    cp root/bin/busybox "$1/bin/"
    ln -s busybox "$1/bin/sh"
    install -m 755 "$here/$2" "$1/init"
    folder=$1
    shift 2
    with_depends "$@" | while read -r module; do
        cp "root$module" "$folder/modules/"
        basename "$module" >>"$folder/modules/order"
    done
}
packed() { (cd "$1" && find . | cpio --quiet -o -H newc) | zstd -q -9 -f -o "$2"; }
first_root boot/first boot.sh virtio_pci virtio_blk ext4
packed boot/first initrd
first_root guest guest.sh xen-netfront
for program in /usr/bin/iperf3; do
    install -D "root$program" "guest$program"
    chroot root ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
        install -D "root$(chroot root readlink -f "$library")" "guest$library"
    done
done
packed guest guest.initrd

mkdir -p -m 700 home/.ssh
[ -f home/.ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -C viotune -f home/.ssh/id_ed25519
install -D -m 600 home/.ssh/id_ed25519.pub root/root/.ssh/authorized_keys
install -m 600 home/.ssh/id_ed25519 root/root/.ssh/id_ed25519 # to migrate to itself
cp root/etc/ssh/ssh_host_ed25519_key.pub host_key.pub
printf 'localhost %s\n' "$(cut -d ' ' -f 1,2 host_key.pub)" >root/root/.ssh/known_hosts

install -m 755 "$here/dom0.sh" root/sbin/dom0
mkdir -p root/guests
cp vmlinux guest.initrd root/guests/
rm -rf root/usr/share/info root/usr/share/perl root/var/lib/apt/lists root/var/cache/apt
rm -f dom0.ext4 root.tar
mke2fs -q -t ext4 -O ^has_journal -m 0 -d root dom0.ext4 480M
