# shellcheck shell=bash
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
#
# The disk that lab machines start from, and their ACPI table; `machine` beside this file sources it.
# What stands in machine-root/ is put into the disk as it is.
# shellcheck disable=SC2034,SC2154  # half_done is read in common.bash; BASE_PACKAGES, CACHE, HERE, sources ... are set there

MACHINE_PACKAGES=$BASE_PACKAGES,linux-image-amd64,initramfs-tools,grub-pc,irqbalance,numactl,nvme-cli
DISK_MIB=4096
CPU_COUNT=8
CERTIFICATES=/usr/local/share/ca-certificates

root_files() { # a tar file of machine-root/ and of this machine's certificates, the same for the same content
  local certificates=()
  [[ ! -d $CERTIFICATES ]] || certificates=(--directory=/ "${CERTIFICATES#/}")
  tar --create --sort=name --mtime=@0 --owner=0 --group=0 --mode='u=rwX,go=rX' --dereference \
    --directory="$HERE/machine-root" etc "${certificates[@]}"
}

pstates_table() { # ACPI: three frequencies for every CPU; nothing answers at the ports, which acpi-cpufreq does not mind
  local cpu
  echo 'DefinitionBlock ("", "SSDT", 2, "INFHST", "PSTATES", 1) {'
  for ((cpu = 0; cpu < CPU_COUNT; cpu++)); do
    printf '
  External (\\_SB.CPUS.C%03X, DeviceObj)
  Scope (\\_SB.CPUS.C%03X) {
    Method (_PPC) { Return (0) }
    Name (_PCT, Package () {
      ResourceTemplate () { Register (SystemIO, 8, 0, 0x%X, ) },
      ResourceTemplate () { Register (SystemIO, 8, 0, 0x%X, ) } })
    Name (_PSS, Package () { // MHz, mW, latencies in us, control, status
      Package () { 3000, 95000, 10, 10, 0, 0 },
      Package () { 2000, 60000, 10, 10, 1, 1 },
      Package () { 1000, 30000, 10, 10, 2, 2 } })
  }\n' "$cpu" "$cpu" $((0x4F00 + cpu)) $((0x4F10 + cpu))
  done
  echo '}'
}

finish_tree() { # finish_tree TREE: accounts, units and the boot loader's files
  as_root chroot "$1" bash -eu <<'INSIDE'
: >/etc/machine-id # made at the first boot, which an empty file does not make a first boot of all units
useradd --create-home --shell /bin/bash admin
install -d -m 700 -o admin -g admin /home/admin/.ssh
printf 'admin ALL=(ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/admin
chmod 440 /etc/sudoers.d/admin
update-ca-certificates
systemctl enable lab-seed systemd-networkd
systemctl disable nvmf-autoconnect nvmefc-boot-connections # they wait ten seconds for disks on a network
systemctl mask getty@tty1 serial-getty@ttyS0 systemd-networkd-wait-online e2scrub_reap \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
# What grub-install would do on a machine. The first update-grub there replaces grub.cfg.
mkdir /boot/grub/i386-pc
cp /usr/lib/grub/i386-pc/*.mod /usr/lib/grub/i386-pc/*.lst /boot/grub/i386-pc/
grub-mkimage --format=i386-pc --prefix='(hd0,msdos1)/boot/grub' --output=/boot/grub/i386-pc/core.img \
  biosdisk part_msdos ext2
kernel=$(echo /boot/vmlinuz-*)
. /etc/default/grub
cat >/boot/grub/grub.cfg <<CFG
$GRUB_SERIAL_COMMAND
terminal_output serial
linux $kernel root=LABEL=root ro $GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT
initrd /boot/initrd.img-${kernel#/boot/vmlinuz-}
boot
CFG
INSIDE
}

make_disk() { # make_disk TREE FILE: a master boot record, GRUB in the gap behind it, and one partition
  local first=2048 grub=$1/usr/lib/grub/i386-pc/boot.img core=$1/boot/grub/i386-pc/core.img
  truncate --size="${DISK_MIB}M" "$2"
  echo "$first,,L,*" | sfdisk --quiet --label dos "$2"
  as_root mke2fs -q -F -t ext4 -L root -d "$1" -E offset=$((first * 512)),lazy_itable_init=1 \
    "$2" $((DISK_MIB * 1024 - first / 2))k
  dd status=none conv=notrunc if="$grub" of="$2" bs=440 count=1 # up to the partition table
  dd status=none conv=notrunc if="$core" of="$2" bs=512 seek=1
}

cache_is_used() { # each machine that starts from an image has a link to its folder there
  [[ -d $CACHE/users ]] || return 1
  find "$CACHE/users" -xtype l -delete
  [[ $(ls -A "$CACHE/users") ]]
}

ensure_disk() { # sets image: the folder with disk.raw and pstates.aml
  local suite sources options key work
  read_debian || die "a lab machine is built on Debian only, and this is $suite"
  key=$({ printf '%s\n' "$MACHINE_PACKAGES" "$suite" "$sources" "$options"; root_files; cat "$HERE/disk.bash"; } |
    sha256sum | cut -c1-12)
  image=$CACHE/image-$key
  [[ ! -d $image ]] || return 0

  cache_is_used || rm -rf "$CACHE"/image-* # of other recipes
  say "building a Debian $suite disk (about a minute, once)"
  work=$CACHE/build
  half_done=(as_root rm -rf "$work")
  as_root rm -rf "$work"
  mkdir -p "$work/image"
  pstates_table >"$work/image/pstates.asl"
  iasl -tc "$work/image/pstates.asl" >"$work/iasl.log" || { cat "$work/iasl.log" >&2; die "iasl refused the ACPI table"; }
  root_files >"$work/root.tar"
  # First for the packages, which make the initrd; then over what they and mmdebstrap have written.
  bootstrap "$work/tree" "$MACHINE_PACKAGES" --format=directory \
    --essential-hook="tar --extract --touch --directory=\"\$1\" --file='$work/root.tar' etc/initramfs-tools" \
    --customize-hook="tar --extract --touch --directory=\"\$1\" --file='$work/root.tar'"
  say "making the disk"
  finish_tree "$work/tree" >"$CACHE/build-tree.log" 2>&1 ||
    { tail -n 15 "$CACHE/build-tree.log" >&2; die "the tree cannot be finished; all that was said is in $CACHE/build-tree.log"; }
  make_disk "$work/tree" "$work/image/disk.raw"
  mv "$work/image" "$image"
  as_root rm -rf "$work"
  half_done=()
}
