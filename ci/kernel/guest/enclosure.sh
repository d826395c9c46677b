#!/bin/sh
# Runs on this machine as process 1 of a private pid and mount namespace and starts the virtual machine in it.
# When it ends or is killed, every process of the machine and the scratch file system are gone with it.
#
# usage: enclosure.sh MEGABYTES WRITABLE COMMAND... < INIT
# Descriptors: 1 and 2 the guest command's output, 3 its exit status, 4 the kernel's log.
# The kernel can refer to descriptors 5 and 6 (1 and 2 again) and to the fifos out, err, status, log in /sys.
size=$1 writable=$2
shift 2

# The guest cannot write to what is read-only here, whatever it mounts. Its own mount of / is read-only as well.
[ -z "$writable" ] || mount -n --bind "$writable" "$writable" || exit 1
while read -r _ _ _ _ point _; do
  case $point in /proc | /proc/* | /sys | /sys/*) continue ;; esac
  [ "$point" = "$writable" ] || mount -n -o remount,bind,ro "$(printf %b "$point")" 2> /dev/null
done < /proc/self/mountinfo

# /sys is of no use to a guest, which mounts its own there; so it can hold what only this machine needs.
mount -n -t tmpfs -o "mode=755,size=$((size + 64))m" ipcns /sys || exit 1
mkdir /sys/tmp /sys/umid
cat > /sys/init
chmod 755 /sys/init
export TMPDIR=/sys/tmp

channels=$IPCNS_CHANNELS
unset IPCNS_CHANNELS
if [ $channels = fifo ]; then
  mkfifo /sys/out /sys/err /sys/status /sys/log
  cat /sys/out >&1 &
  cat /sys/err >&2 &
  cat /sys/status >&3 &
  cat /sys/log >&4 &
fi
"$@" 5>&1 6>&2 < /dev/null >&4 2>&4
code=$?
if [ $channels = fifo ]; then
  # A machine that never opened them has left the readers waiting: opened both ways, a fifo never waits.
  for fifo in out err status log; do : <> /sys/$fifo; done
  wait
fi
exit $code
