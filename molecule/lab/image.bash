# shellcheck shell=bash
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
#
# The image of the lab hosts; `lab` beside this file sources it and owns engine.
# shellcheck disable=SC2034,SC2154  # half_done is read in common.bash, BASE_PACKAGES and CACHE are set there

IMAGE_NAME=localhost/inference-host-lab

RECIPE=1 # a change of the build itself (not of the package list) raises it

ensure_image() { # sets image: the name that hosts are created from
  image=${INFERENCE_LAB_IMAGE:-}
  if [[ $image ]]; then
    engine image exists "$image" || engine pull "$image" || die "INFERENCE_LAB_IMAGE is $image: podman cannot get it"
    return
  fi
  local suite sources options key rootfs
  read_debian || die "the image is built on Debian only: name a ready one in INFERENCE_LAB_IMAGE"
  key=$(printf '%s\n' "$RECIPE" "$BASE_PACKAGES" "$suite" "$sources" "$options" | sha256sum | cut -c1-12)
  image=$IMAGE_NAME:$key
  ! engine image exists "$image" || return 0

  rootfs=$CACHE/rootfs-$key.tar
  if [[ ! -e $rootfs ]]; then
    say "building a Debian $suite tree (about half a minute, once)"
    half_done=(rm -f "$rootfs.part")
    bootstrap "$rootfs.part" "$BASE_PACKAGES" --format=tar
    mv "$rootfs.part" "$rootfs"
    half_done=()
  fi
  say "importing the image $image"
  engine import --quiet --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'CMD ["/sbin/init"]' --change 'STOPSIGNAL SIGRTMIN+3' "$rootfs" "$image" >/dev/null
}
