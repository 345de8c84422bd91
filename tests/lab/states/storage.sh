# SPDX-License-Identifier: Apache-2.0
# State `storage`: the servers, and the host logged in and mounted: maps /dev/mapper/lun0 to lun3 over two paths each, volume group vg0 on
# lun2 with a thin pool, the export on /mnt/images; and what tests load of the kernel anyway.
. ./servers.sh
initiator
multipath_maps
vgcreate -qq vg0 /dev/mapper/lun2
lvcreate -qq -T -L 512M --poolmetadatasize 8M vg0/thin
mkdir -p /mnt/images
mount -t nfs -o vers=4.2,hard 192.0.2.50:/images /mnt/images
modprobe -a tun bridge vhost_net 8021q dm_delay dm_flakey
multipath -ll
