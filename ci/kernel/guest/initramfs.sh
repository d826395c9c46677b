#!/bin/busybox sh
# The first process of a stock kernel: loads what it takes to see this machine's files by 9p, lays a
# throw-away file system over them, and goes on with the init that every guest has.
b=/bin/busybox
$b mkdir -p /proc /dev /lower /upper /root
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
while read -r module; do
  $b insmod "/modules/$module" || echo "ipcns: cannot load $module"
done < /modules/order
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 host /lower ||
  { echo 'ipcns: this kernel cannot mount the files of the machine by 9p'; $b poweroff -f; }
$b mount -t tmpfs -o mode=755 upper /upper
$b mkdir /upper/files /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root ||
  { echo 'ipcns: this kernel has no overlay file system'; $b poweroff -f; }
$b mount --move /dev /root/dev
$b umount /proc
exec $b switch_root /root /sys/init
