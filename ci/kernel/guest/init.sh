# The first process of every guest. What goes before it, written for each boot: the variables named here and
# the function "job", which becomes the command. It runs from a file that the mounts below hide.
#   root      hostfs (user-mode Linux) or 9p (QEMU)
#   writable  the one directory of the machine that the guest may write to, or nothing
#   out err status: devices for the command's output and its exit status; busybox: its path
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

# Busybox's mount: the system's own is set-user-id, and to an unprivileged user's guest its owner is nobody.
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sysfs /sys
[ -c /dev/null ] || $busybox mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts /dev/mqueue
$busybox mount -t tmpfs -o mode=1777,nosuid,nodev shm /dev/shm
$busybox mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
ln -sf /proc/self/fd /dev/fd
ln -sf fd/0 /dev/stdin
ln -sf fd/1 /dev/stdout
ln -sf fd/2 /dev/stderr
$busybox mount -t tmpfs -o mode=755 run /run
# A kernel without one of these is a kernel to be tested too.
$busybox mount -t mqueue mqueue /dev/mqueue 2> /dev/null
$busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup 2> /dev/null

if [ $root = hostfs ]; then
  # Hidden by the two file systems below; a command may stand in one of these.
  for directory in /tmp /var/tmp; do $busybox mount -t tmpfs -o mode=1777 tmp $directory; done
  bring_back
  for terminal in $out $err $status; do stty raw -echo < $terminal; done
fi
if [ -n "$writable" ]; then
  mkdir -p "$writable"
  case $root in
    hostfs) $busybox mount -t hostfs -o "$writable" none "$writable" ;;
    9p) $busybox mount -t 9p -o trans=virtio,version=9p2000.L,cache=none,msize=262144 writable "$writable" ;;
  esac || echo "ipcns: the guest cannot mount $writable" > $err
fi
ip link set lo up

# Before 5.18 a guest that has no other entropy waits ten seconds for its first random number: credit some.
case $(uname -r) in
  4.* | 5.[0-9].* | 5.1[0-7].*)
    perl -e 'open my $r, "+<", "/dev/random"; ioctl $r, 0x40085203, pack "iia64", 512, 64, join "", map chr rand 256, 1 .. 64'
    ;;
esac

# Through pipes: a program that asks must not find a terminal.
mkfifo -m 600 /run/ipcns.out /run/ipcns.err
cat /run/ipcns.out > $out &
out_relay=$!
cat /run/ipcns.err > $err &
err_relay=$!
(job) < /dev/null > /run/ipcns.out 2> /run/ipcns.err
code=$?

# What the command left running would hold the pipes open for ever.
for process in /proc/[0-9]*; do
  case ${process#/proc/} in 1 | $out_relay | $err_relay) ;; *) kill -9 ${process#/proc/} 2> /dev/null ;; esac
done
wait $out_relay $err_relay
# Setting a terminal waits until all that was written to it is out.
if [ $root = hostfs ]; then
  stty raw < $out
  stty raw < $err
fi
echo "status $code" > $status
[ $root != hostfs ] || stty raw < $status
sync
$busybox poweroff -f
