#!/bin/sh
# Builds the test guest: tools/build_guest.sh [--agent] [OUTPUT_DIR], by default run/images. See docs/guest.md.
#
# --agent: a second disk instead, whose guest has the QEMU guest agent as well.
# Does nothing if the outputs are newer than the sources. Packages are fetched once into run/guest-build and
# unpacked there; only missing build tools are installed. Neither loop devices nor mounts are needed.
set -eu

repo="$(cd "$(dirname "$0")/.." && pwd)"
sources="$repo/tools/guest"
work="${GUEST_WORK_DIR:-$repo/run/guest-build}"
packages="$work/packages"
name=minicompute-guest
agent=''
if [ "${1:-}" = --agent ]; then
    agent=1 name=minicompute-guest-agent
    shift
fi
output="${1:-$repo/run/images}"

# no_timer_check: emulated on a busy host the check of the timer fails now and then, and the kernel panics.
cmdline='console=tty0 console=ttyS0,115200 panic=5 loglevel=4 no_timer_check random.trust_cpu=on'
disk_mib=64
first_sector=2048

main() {
    mkdir -p "$work/debs" "$output"
    output="$(cd "$output" && pwd)"
    exec 9> "$work/lock"
    flock 9
    if up_to_date; then
        echo "up to date: $output/$name.qcow2"
        return
    fi
    install_tools
    unpack_list "$sources/packages.list" "$packages"
    make_initrd
    [ -z "$agent" ] || add_agent
    make_disk
    # The disk last: it is what up_to_date looks at first.
    if [ -z "$agent" ]; then
        install -m 644 "$work/vmlinuz" "$output/$name-kernel"
        install -m 644 "$work/initrd" "$output/$name-initrd"
    fi
    mv "$work/disk.qcow2" "$output/$name.qcow2"
    # shellcheck disable=SC2046  # a list of words
    (cd "$output" && ls -l $(outputs))
}

outputs() {
    echo "$name.qcow2"
    [ -n "$agent" ] || echo "$name-kernel $name-initrd"
}

up_to_date() {
    for file in $(outputs); do
        [ -s "$output/$file" ] || return 1
        [ -z "$(find "$sources" "$repo/tools/build_guest.sh" -newer "$output/$file")" ] || return 1
    done
}

install_tools() {
    missing=''
    while read -r tool package; do
        command -v "$tool" >/dev/null || missing="$missing $package"
    done <<TOOLS
mcopy mtools
mkfs.vfat dosfstools
cpio cpio
depmod kmod
qemu-img qemu-utils
xz xz-utils
TOOLS
    [ -n "$missing" ] || return 0
    apt_update
    # shellcheck disable=SC2086  # a list of words
    DEBIAN_FRONTEND=noninteractive as_root apt-get install -y --no-install-recommends $missing
}

apt_update() {
    [ -n "${updated:-}" ] || as_root apt-get -q update
    updated=1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# unpack_list LIST FOLDER: the packages of the list, side by side, in the folder.
unpack_list() {
    cmp -s "$1" "$2.stamp" && return 0
    rm -rf "$2" "$2.stamp"
    mkdir -p "$2"
    grep -v '^#' "$1" > "$work/wanted"
    while read -r package; do
        unpack_package "$package" "$2" < /dev/null
    done < "$work/wanted"
    cp "$1" "$2.stamp"
}

# unpack_package PACKAGE FOLDER
unpack_package() {
    real="$1"
    if [ "$1" = linux-image-amd64 ]; then
        # An empty package which depends on the kernel of the day.
        [ -n "$(kernel_package)" ] || apt_update
        real="$(kernel_package)"
    fi
    deb="$(find_deb "$real")"
    if [ -z "$deb" ]; then
        (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download "$real") || {
            apt_update
            (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download "$real")
        }
        deb="$(find_deb "$real")"
    fi
    # A guest has no use for these, and they are most of the kernel package.
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$2" --exclude='./usr/share/*' --exclude='*/sound' \
        --exclude='*/drivers/gpu' --exclude='*/drivers/media' --exclude='*/drivers/staging' \
        --exclude='*/drivers/infiniband' --exclude='*/drivers/iio' --exclude='*/net/wireless'
}

kernel_package() {
    apt-cache depends linux-image-amd64 2>/dev/null |
        awk '$1 == "Depends:" && /linux-image-/ { print $2; exit }'
}

find_deb() {
    find "$work/debs" -name "$1_*.deb" | sort | tail -n 1
}

make_initrd() {
    tree="$work/tree"
    rm -rf "$tree"
    for folder in bin usr lib64 proc sys dev run tmp root etc/dropbear; do
        mkdir -p "$tree/$folder"
    done
    cp -R "$sources/root/." "$tree/"
    ln -s bin "$tree/sbin"
    ln -s ../bin "$tree/usr/bin"
    ln -s ../bin "$tree/usr/sbin"
    mkdir -p "$tree/var/log"
    ln -s ../run "$tree/var/run"
    ln -s bin/busybox "$tree/init"
    add_programs
    add_modules
    chmod 600 "$tree/etc/shadow"
    chmod 700 "$tree/root"
    pack "$tree" > "$work/initrd"
}

pack() { (cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) | gzip -9n; }

# add_agent: a second archive behind the first; the kernel unpacks it over that.
add_agent() {
    unpack_list "$sources/agent/packages.list" "$work/agent-packages"
    tree="$work/agent-tree"
    rm -rf "$tree"
    mkdir -p "$tree/bin" "$tree/lib" "$tree/etc"
    cp -R "$sources/agent/root/." "$tree/"
    cp "$work/agent-packages/usr/sbin/qemu-ga" "$tree/bin/"
    for library in libglib-2.0.so.0 libgmodule-2.0.so.0 libpcre2-8.so.0 libnuma.so.1 libudev.so.1 liburing.so.2 libm.so.6; do
        add_library "$library" "$work/agent-packages" "$packages"
    done
    { cat "$sources/root/etc/inittab" && echo '::respawn:/lib/guest/agent.sh'; } > "$tree/etc/inittab"
    pack "$tree" >> "$work/initrd"
}

add_programs() {
    cp "$packages/bin/busybox" "$tree/bin/busybox"
    for applet in $("$tree/bin/busybox" --list); do
        [ -e "$tree/bin/$applet" ] || ln -s busybox "$tree/bin/$applet"
    done
    cp "$packages/usr/sbin/dropbear" "$packages/usr/bin/dropbearkey" "$packages/usr/bin/dbclient" "$tree/bin/"
    for library in libtomcrypt.so.1 libtommath.so.1 libz.so.1 libcrypt.so.1 libgmp.so.10 libc.so.6; do
        add_library "$library" "$packages"
    done
    cp -L "$(find "$packages/lib" -name ld-linux-x86-64.so.2 | head -n 1)" "$tree/lib64/"
}

# add_library NAME FOLDER...: from one of the folders.
add_library() {
    library="$1"
    shift
    cp -L "$(find "$@" -path '*/lib/*' -name "$library" | head -n 1)" "$tree/lib/$library"
}

# add_modules: those of modules.list and what they need.
add_modules() {
    version="$(ls "$packages/lib/modules")"
    cp "$packages/boot/vmlinuz-$version" "$work/vmlinuz"
    [ -f "$packages/lib/modules/$version/modules.dep" ] || depmod -b "$packages" "$version"
    grep -v '^#' "$sources/modules.list" | while read -r module; do
        modprobe -d "$packages" -S "$version" --show-depends "$module" < /dev/null || echo "missing $module"
    done > "$work/modules.found"
    if grep '^missing' "$work/modules.found"; then exit 1; fi
    awk '$1 == "insmod" { print $2 }' "$work/modules.found" | sort -u | while read -r path; do
        target="$tree/lib/modules/$version/${path#*/lib/modules/"$version"/}"
        mkdir -p "$(dirname "$target")"
        cp "$path" "$target"
    done
    cp "$packages/lib/modules/$version"/modules.builtin* "$packages/lib/modules/$version/modules.order" \
        "$tree/lib/modules/$version/"
    depmod -b "$tree" "$version"
    rm -f "$tree/lib/modules/$version/"*.bin
}

# make_disk: one FAT partition that syslinux boots under BIOS and systemd-boot under UEFI.
make_disk() {
    raw="$work/disk.raw"
    offset=$((first_sector * 512))
    sectors=$((disk_mib * 2048 - first_sector))
    rm -f "$raw"
    truncate -s "${disk_mib}M" "$raw"
    mkfs.vfat -n GUEST -h "$first_sector" --offset "$first_sector" "$raw" "$((sectors / 2))" >/dev/null
    fill_disk
    "$packages/usr/bin/syslinux" --install -t "$offset" "$raw"
    dd if="$packages/usr/lib/syslinux/mbr/mbr.bin" of="$raw" conv=notrunc status=none
    # One entry: active, type EF (EFI system partition), no CHS addresses; then the signature.
    {
        printf '\200\376\377\377\357\376\377\377'
        little_endian "$first_sector"
        little_endian "$sectors"
    } | dd of="$raw" bs=1 seek=446 conv=notrunc status=none
    printf '\125\252' | dd of="$raw" bs=1 seek=510 conv=notrunc status=none
    qemu-img convert -f raw -O qcow2 "$raw" "$work/disk.qcow2"
    rm -f "$raw"
}

fill_disk() {
    boot="$work/boot"
    rm -rf "$boot"
    mkdir -p "$boot/EFI/BOOT"
    cp -R "$sources/disk/." "$boot/"
    sed -i "s|@CMDLINE@|$cmdline|" "$boot/syslinux.cfg" "$boot/loader/entries/guest.conf"
    cp "$work/vmlinuz" "$boot/vmlinuz"
    cp "$work/initrd" "$boot/initrd"
    cp "$packages/usr/lib/syslinux/modules/bios/ldlinux.c32" "$boot/"
    cp "$packages/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$boot/EFI/BOOT/BOOTX64.EFI"
    MTOOLS_SKIP_CHECK=1 mcopy -s -Q -i "$raw@@$offset" "$boot"/* ::/
}

# little_endian NUMBER: four bytes.
little_endian() {
    value="$1"
    for _ in 1 2 3 4; do
        # shellcheck disable=SC2059  # the format is the byte
        printf "\\$(printf '%03o' $((value % 256)))"
        value=$((value / 256))
    done
}

main
