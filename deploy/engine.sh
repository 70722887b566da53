#!/bin/sh
# A Docker engine that answers: the one that runs, or (on a machine without a service manager, as root) one started here.
#
#   deploy/engine.sh            start one if none answers, wait until it does
#   deploy/engine.sh --check    only say whether one answers (exit status 1 and one sentence if not)
#
# What it starts stays when the script ends: containers belong to the engine, not to who started it. Its log and its
# process id are /var/log/dockerd.log and /var/run/docker.pid.
set -eu

LOG=/var/log/dockerd.log
WAIT=60

answers() { docker version --format '{{.Server.Version}}' 2>/dev/null; }
fail() { printf '%s\n' "$1" >&2; exit 1; }

command -v docker >/dev/null 2>&1 \
  || fail "There is no docker here. Install Debian's: apt-get install docker.io iptables debootstrap"
if version=$(answers) && [ -n "$version" ]; then
  echo "Docker engine $version answers."
  exit 0
fi
[ "${1:-}" = --check ] && fail "No Docker engine answers (docker version). Start one: deploy/engine.sh, as root."
[ "$(id -u)" = 0 ] \
  || fail "No Docker engine answers, and only root can start one (or you are not in the group docker): sudo deploy/engine.sh"
PATH=$PATH:/usr/sbin:/sbin
for program in dockerd iptables; do
  command -v "$program" >/dev/null 2>&1 \
    || fail "There is no $program here. Install Debian's: apt-get install docker.io iptables debootstrap"
done

if [ -d /run/systemd/system ]; then
  systemctl start docker || true # what it says, or the engine's silence, is reported below
else
  # Left over by an engine that was killed: dockerd would not start beside them. A zombie, which nobody may collect
  # here, still has its number, but no program.
  for left in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
    if [ -f $left ] && ! readlink "/proc/$(cat $left)/exe" >/dev/null 2>&1; then rm -f $left; fi
  done
  # A session of its own, and the default for SIGINT: as the background job of a script it would be ignored for good.
  # Nor does it keep open what its caller has open: a lock of theirs would be held as long as it runs.
  setsid env --default-signal=INT dockerd >>"$LOG" 2>&1 </dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
fi

tries=0
until version=$(answers) && [ -n "$version" ]; do
  tries=$((tries + 1))
  if [ "$tries" -gt $((WAIT * 5)) ]; then
    tail -n 15 "$LOG" >&2 2>/dev/null || true
    fail "The Docker engine was started, but does not answer after $WAIT s; its log is $LOG (or: journalctl -u docker)."
  fi
  sleep 0.2
done
echo "Docker engine $version started; its log is $LOG."
