# What the builds of emulated hosts share, to be read in by them: they call these in this order, in
# the folder that they make. Needs root, mmdebstrap, cpio, zstd, mke2fs, ssh-keygen, python3 and a
# mirror.

# root/ with some packages of Debian 12 installed; boot/ with the kernel's and others only unpacked,
# as installing them would build an initramfs and a boot loader's configuration for nothing. Sets
# $release, that of the kernel.
debian() { # PACKAGE,PACKAGE... UNPACKED...
    packages=$1,openssh-server,iproute2,ethtool,procps,kmod,udev,iputils-ping,iperf3,netbase,busybox-static
    shift
    download='apt-get update -qq && mkdir /debs && cd /debs && apt-get download -qq '"$*"' \
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
}

# vmlinux, an uncompressed kernel: emulated, unpacking it takes seconds for the host and each guest.
unpacked_kernel() {
    python3 - "boot/boot/vmlinuz-$release" >vmlinux <<'PYTHON'
import lzma, pathlib, sys
image = pathlib.Path(sys.argv[1]).read_bytes()
start = image.index(b"\xfd7zXZ\0")
sys.stdout.buffer.write(lzma.LZMADecompressor().decompress(image[start:]))
PYTHON
}

with_depends() { # MODULE...
    for name; do chroot root modprobe -S "$release" --show-depends "$name" 2>/dev/null || true; done |
        sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

# Of the modules only those that are used, with what they depend on.
modules() { # MODULE...
    mkdir -p root/lib/modules
    cp -a "boot/lib/modules/$release" root/lib/modules/
    chroot root depmod "$release"
    with_depends "$@" >used
    sed 's,^/,,' used | tar -C root -cf used.tar -T -
    rm -rf "root/lib/modules/$release/kernel"
    tar -C root -xf used.tar
    rm used used.tar
    chroot root depmod "$release"
}

# A first root is an initramfs of busybox, some modules and an init.
first_root() { # FOLDER INIT MODULE...
    mkdir -p "$1/bin" "$1/modules" "$1/proc" "$1/sys" "$1/dev" "$1/tmp" "$1/newroot"
    cp root/bin/busybox "$1/bin/"
    ln -s busybox "$1/bin/sh"
    install -m 755 "$2" "$1/init"
    folder=$1
    shift 2
    with_depends "$@" | while read -r module; do
        cp "root$module" "$folder/modules/"
        basename "$module" >>"$folder/modules/order"
    done
}

packed() { (cd "$1" && find . | cpio --quiet -o -H newc) | zstd -q -9 -f -o "$2"; }

# initrd, what the host boots first, and guest.initrd, all that a guest is made of.
first_roots() { # SHARED-FOLDER GUEST-MODULE...
    first_root boot/first "$1/boot.sh" virtio_pci virtio_blk ext4
    packed boot/first initrd
    guest_init=$1/guest.sh
    shift
    first_root guest "$guest_init" "$@"
    for program in /usr/bin/iperf3; do
        install -D "root$program" "guest$program"
        chroot root ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
            install -D "root$(chroot root readlink -f "$library")" "guest$library"
        done
    done
    packed guest guest.initrd
}

# home/.ssh with a key that logs in to the host, and the host's key in host_key.pub.
login() {
    mkdir -p -m 700 home/.ssh
    [ -f home/.ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -C viotune -f home/.ssh/id_ed25519
    install -D -m 600 home/.ssh/id_ed25519.pub root/root/.ssh/authorized_keys
    cp root/etc/ssh/ssh_host_ed25519_key.pub host_key.pub
}

# disk.ext4, the host's file system, with what its guests boot in /guests.
disk() { # SIZE
    mkdir -p root/guests
    cp vmlinux guest.initrd root/guests/
    rm -rf root/usr/share/info root/usr/share/perl root/var/lib/apt/lists root/var/cache/apt
    rm -f disk.ext4 root.tar
    mke2fs -q -t ext4 -O ^has_journal -m 0 -d root disk.ext4 "$1"
}
