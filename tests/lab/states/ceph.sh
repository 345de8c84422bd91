# SPDX-License-Identifier: Apache-2.0
# State `ceph`: one monitor and one OSD on 192.0.2.70 with the pool vms, and client.weft, who may use it; keyrings are in /etc/ceph. There is no
# manager: nothing of it is needed for images and their data.
. ./lib.sh
address=192.0.2.70
data=/var/lib/ceph/lab
admin=/etc/ceph/ceph.client.admin.keyring
osd_id=$(cat /proc/sys/kernel/random/uuid)
cluster_id=$(cat /proc/sys/kernel/random/uuid)
addresses servers2 $address
mkdir -p $data/{mon.a,osd.0,run,log}

cat >/etc/ceph/ceph.conf <<END
[global]
fsid = $cluster_id
mon_initial_members = a
mon_host = [v2:$address:3300,v1:$address:6789]
public_addr = $address
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_allow_pool_delete = true
mon_data_avail_crit = 1
mon_data_avail_warn = 2
# What the kernel's client understands.
rbd_default_features = 3
run_dir = $data/run
admin_socket = $data/run/\$cluster-\$name.asok
pid_file = $data/run/\$name.pid
log_file = $data/log/\$name.log
mon_cluster_log_file = $data/log/cluster.log
crash_dir = $data/crash
mon_data = $data/mon.a
osd_data = $data/osd.0
osd_objectstore = bluestore
bluestore_block_size = 4294967296
bluestore_block_db_create = false
bluestore_block_wal_create = false
bluestore_cache_autotune = false
bluestore_cache_size = 67108864
bluestore_cache_kv_min = 8388608
osd_memory_target = 939524096
END

ceph-authtool --create-keyring $admin --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' >/dev/null
ceph-authtool --create-keyring $data/mon.keyring --gen-key -n mon. --cap mon 'allow *' >/dev/null
ceph-authtool $data/mon.keyring --import-keyring $admin >/dev/null
monmaptool --create --addv a "[v2:$address:3300,v1:$address:6789]" --fsid "$cluster_id" $data/monmap >/dev/null
ceph-mon --mkfs -i a --monmap $data/monmap --keyring $data/mon.keyring
cp $data/mon.keyring $data/mon.a/keyring
ceph-mon -i a --public-addr $address >/dev/null 2>&1
ceph auth get-or-create osd.0 mon 'allow profile osd' osd 'allow *' -o $data/osd.0/keyring
ceph osd new "$osd_id" >/dev/null
ceph-osd -i 0 --mkfs --osd-uuid "$osd_id" --keyring $data/osd.0/keyring
ceph osd crush add osd.0 1.0 root=default
ceph-osd -i 0 --keyring $data/osd.0/keyring >/dev/null 2>&1
ceph osd pool create vms 8
osd_is_up() { ceph osd stat | grep -q '1 up'; }
until_true 60 osd_is_up
rbd pool init vms
ceph auth get-or-create client.weft mon 'profile rbd' osd 'profile rbd pool=vms' -o /etc/ceph/ceph.client.weft.keyring
modprobe rbd
rbd --id weft create vms/probe --size 16M
rbd --id weft rm --no-progress vms/probe
