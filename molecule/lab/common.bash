# shellcheck shell=bash
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
#
# What `lab` and `machine` beside this file share; both source it first.
# shellcheck disable=SC2034  # some variables are for them alone
set -euo pipefail
shopt -s inherit_errexit
umask 022
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

LAB_ID=${INFERENCE_LAB_ID:-site}
STATE_ROOT=${INFERENCE_LAB_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/inference.host/lab}
[[ $STATE_ROOT == /* ]] || STATE_ROOT=$PWD/$STATE_ROOT
STATE=$STATE_ROOT/$LAB_ID
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/inference.host/lab

say() { printf '%s: %s\n' "${0##*/}" "$*"; }
die() { printf '%s: error: %s\n' "${0##*/}" "$*" >&2; exit 1; }
[[ $LAB_ID =~ ^[a-z0-9-]+$ ]] || die "INFERENCE_LAB_ID is $LAB_ID: use lower case letters, digits and hyphens"

as_root() { if ((EUID)); then sudo "$@"; else "$@"; fi; }

half_done=() # a command that removes what an interrupted step left
trap '((${#half_done[@]} == 0)) || "${half_done[@]}" >/dev/null 2>&1' EXIT

await() { # await SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}

progress() { # every milestone ("I: ..."), and of the rest a line each five seconds
  local line last=$SECONDS
  while IFS= read -r line; do
    [[ $line == [EWI]:* ]] || ((SECONDS - last >= 5)) || continue
    say "  ${line:0:150}"
    last=$SECONDS
  done
}

one_at_a_time() {
  mkdir -p "$CACHE" "$STATE_ROOT"
  chmod 700 "$STATE_ROOT"
  exec 9>"$CACHE/lock"
  until flock --timeout 15 9; do say "waiting for another command to end"; done
}

install_missing() { # install_missing COMMAND:PACKAGE...
  local missing=() pair
  for pair in "$@"; do
    command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "missing here: ${missing[*]}; only Debian's apt-get is used to install them"
  say "installing ${missing[*]}"
  { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-install-recommends "${missing[@]}"; } 2>&1 | progress
}

## Debian, as this machine has it ---------------------------------------------------------------------------------

# What a freshly installed Debian server has, and nothing that a role should install.
BASE_PACKAGES=systemd-sysv,libpam-systemd,dbus,udev,kmod,openssh-server,sudo,python3,iproute2,procps,ca-certificates

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

read_debian() { # sets suite, sources and options
  # shellcheck disable=SC1091
  suite=$(. /etc/os-release && echo "$ID:${VERSION_CODENAME:-}")
  [[ $suite == debian:?* ]] || return 1
  suite=${suite#debian:}
  sources=$(apt_sources "$suite")
  [[ $sources ]] || { as_root apt-get update 2>&1 | progress; sources=$(apt_sources "$suite"); }
  [[ $sources ]] || die "apt has no Debian $suite source on this machine: add one to /etc/apt/sources.list.d"
  options=$(apt_options)
}

bootstrap() { # bootstrap TARGET PACKAGES ARGUMENTS...: the tree, without host keys, which would be the same on every host
  local target=$1 packages=$2 option apt_arguments=()
  shift 2
  while IFS= read -r option; do apt_arguments+=(${option:+--aptopt="$option"}); done <<<"$options"
  # shellcheck disable=SC2016  # "$1" is the tree, in the hook's own shell
  { as_root mmdebstrap --verbose --variant=minbase --include="$packages" "${apt_arguments[@]}" "$@" \
    --customize-hook='rm -f "$1"/etc/ssh/ssh_host_*' "$suite" "$target" - \
    <<<"$sources" 2>&1 | tee "$CACHE/build.log" | progress; } ||
    { tail -n 15 "$CACHE/build.log" >&2; die "mmdebstrap failed; its whole output is in $CACHE/build.log"; }
}

## SSH --------------------------------------------------------------------------------------------------------------

make_key() { # make_key FILE COMMENT
  mkdir -p "$(dirname "$1")"
  [[ -e $1 ]] || ssh-keygen -q -t ed25519 -N '' -C "$2" -f "$1"
}

add_ssh_host() { # add_ssh_host NAME ADDRESS PORT HOST_KEY
  local known=$2
  (($3 == 22)) || known="[$2]:$3"
  printf '%s %s\n' "$known" "$(cut -d' ' -f1,2 "$4.pub")" >>"$STATE/known_hosts"
  cat >>"$STATE/ssh_config" <<CONFIG
Host $1 $2
  HostName $2
  Port $3
  User admin
  IdentityFile "$STATE/id_ed25519"
  IdentitiesOnly yes
  UserKnownHostsFile "$STATE/known_hosts"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  ConnectTimeout 5
  ServerAliveInterval 5
CONFIG
}

ssh_to() { ssh -F "$STATE/ssh_config" "$@"; }
answers() { ssh_to -o BatchMode=yes "$1" true </dev/null 2>/dev/null; }
