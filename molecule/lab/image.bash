# shellcheck shell=bash
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
#
# The image of the lab hosts; `lab` beside this file sources it and owns say, die, as_root, engine, progress, half_done.
# shellcheck disable=SC2034,SC2154  # half_done is read there, CACHE and the rest are set there

IMAGE_NAME=localhost/inference-host-lab

# What a freshly installed Debian server has, and nothing that a role should install.
# A change of the build itself (not of this list) raises RECIPE.
RECIPE=1
PACKAGES=systemd-sysv,libpam-systemd,dbus,udev,kmod,openssh-server,sudo,python3,iproute2,procps,ca-certificates

# What this machine knows of its Debian mirror is given to the image, so that apt works inside as it does outside.
# shellcheck disable=SC2016  # apt expands these
apt_sources() { # apt_sources SUITE -> one-line sources
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' |
    awk -v suite="$1" '$3 == suite || $3 == suite "-updates" || $3 == suite "-security"' | sort -u
}
apt_options() {
  apt-config dump | grep -E '^Acquire::(https?|Check-Valid-Until|Check-Date|Retries|ForceIPv[46])\b' |
    grep -v ' "";$' || true
}

ensure_image() { # sets image: the name that hosts are created from
  image=${INFERENCE_LAB_IMAGE:-}
  if [[ $image ]]; then
    engine image exists "$image" || engine pull "$image" || die "INFERENCE_LAB_IMAGE is $image: podman cannot get it"
    return
  fi
  local suite sources options key rootfs option apt_arguments=()
  # shellcheck disable=SC1091
  suite=$(. /etc/os-release && echo "$ID:${VERSION_CODENAME:-}")
  [[ $suite == debian:?* ]] || die "the image is built on Debian only: name a ready one in INFERENCE_LAB_IMAGE"
  suite=${suite#debian:}
  sources=$(apt_sources "$suite")
  [[ $sources ]] || { as_root apt-get update 2>&1 | progress; sources=$(apt_sources "$suite"); }
  [[ $sources ]] || die "apt has no Debian $suite source on this machine: add one to /etc/apt/sources.list.d"
  options=$(apt_options)
  key=$(printf '%s\n' "$RECIPE" "$PACKAGES" "$suite" "$sources" "$options" | sha256sum | cut -c1-12)
  image=$IMAGE_NAME:$key
  ! engine image exists "$image" || return 0

  rootfs=$CACHE/rootfs-$key.tar
  if [[ ! -e $rootfs ]]; then
    say "building a Debian $suite tree (about half a minute, once)"
    while IFS= read -r option; do apt_arguments+=(${option:+--aptopt="$option"}); done <<<"$options"
    half_done=(rm -f "$rootfs.part")
    # The host keys that the package makes would be the same on every host.
    # shellcheck disable=SC2016  # "$1" is the tree, in the hook's own shell
    { as_root mmdebstrap --verbose --variant=minbase --format=tar --include="$PACKAGES" "${apt_arguments[@]}" \
      --customize-hook='rm -f "$1"/etc/ssh/ssh_host_*' "$suite" - - \
      <<<"$sources" 2>&1 >"$rootfs.part" | tee "$CACHE/build.log" | progress; } ||
      { tail -n 15 "$CACHE/build.log" >&2; die "mmdebstrap failed; its whole output is in $CACHE/build.log"; }
    mv "$rootfs.part" "$rootfs"
    half_done=()
  fi
  say "importing the image $image"
  engine import --quiet --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'CMD ["/sbin/init"]' --change 'STOPSIGNAL SIGRTMIN+3' "$rootfs" "$image" >/dev/null
}
