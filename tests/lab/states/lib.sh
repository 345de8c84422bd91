# SPDX-License-Identifier: Apache-2.0
# Servers of storage inside the lab's host, on addresses of their own, for the scripts of the states beside this file.

TARGET=iqn.2003-01.org.linux-iscsi.san:sn.1
CHAP_USER=host1
CHAP_PASSWORD=lab-secret-of-host1
LUN_SIZE=1G
portals=(192.0.2.60 198.51.100.60)

# until SECONDS COMMAND...
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || { echo "not in time: $*" >&2; return 1; }
		sleep 0.1
	done
}

addresses() {
	local link=$1 address
	shift
	ip link add "$link" type dummy
	ip link set "$link" up
	for address; do ip addr add "$address/24" dev "$link"; done
}

# backstore KIND NAME CONTROL SERIAL: NAA, and with it the WWID, is 6001405 and the first 25 digits of the serial.
backstore() {
	local core=/sys/kernel/config/target/core/$1_0/$2
	mkdir -p "$core"
	echo "$3" >"$core/control"
	echo "$4" >"$core/wwn/vpd_unit_serial"
	echo 1 >"$core/enable"
	mkdir -p "$tpg/lun/lun_$2"
	ln -s "$core" "$tpg/lun/lun_$2/backstore"
}

# A target by the kernel's own files: targetcli takes seconds for each of its calls in emulation. LUNs 0 to 2 are files; LUN 3 is a loop device,
# which can grow (truncate, losetup -c). Any initiator that knows the password may come.
iscsi_target() {
	mkdir -p /etc/target
	modprobe -a target_core_mod target_core_file target_core_iblock iscsi_target_mod
	tpg=/sys/kernel/config/target/iscsi/$TARGET/tpgt_1
	mkdir -p "$tpg" /var/lab/luns
	for n in 0 1 2 3; do truncate -s $LUN_SIZE /var/lab/luns/$n; done
	for n in 0 1 2; do
		backstore fileio $n "fd_dev_name=/var/lab/luns/$n,fd_dev_size=$(stat -c %s /var/lab/luns/$n)" "a000000$n-0000-4000-8000-000000000000"
	done
	losetup /dev/loop77 /var/lab/luns/3
	backstore iblock 3 "udev_path=/dev/loop77" a0000003-0000-4000-8000-000000000000
	for address in "${portals[@]}"; do mkdir -p "$tpg/np/$address:3260"; done
	echo 1 >"$tpg/attrib/authentication"
	echo 1 >"$tpg/attrib/generate_node_acls"
	echo 1 >"$tpg/attrib/cache_dynamic_acls"
	echo 0 >"$tpg/attrib/demo_mode_write_protect"
	echo -n $CHAP_USER >"$tpg/auth/userid"
	echo -n $CHAP_PASSWORD >"$tpg/auth/password"
	echo 1 >"$tpg/enable"
	# What is on the target's own device is the initiator's, not this host's.
	printf 'devices { global_filter = [ "r|^/dev/loop77$|", "a|.*|" ] }\n' >/etc/lvm/lvmlocal.conf
}

nfs_server() {
	mkdir -p /exports/images /etc/nfs.conf.d
	printf '[nfsd]\ngrace-time=10\nlease-time=10\n' >/etc/nfs.conf.d/lab.conf
	echo '/exports *(rw,no_root_squash,no_subtree_check,fsid=0,crossmnt)' >/etc/exports
	echo '/exports/images *(rw,no_root_squash,no_subtree_check)' >>/etc/exports
	systemctl start rpcbind nfs-server
}

initiator() {
	sed -i -e "s/^#\?\s*node.session.auth.authmethod.*/node.session.auth.authmethod = CHAP/" \
		-e "s/^#\?\s*node.session.auth.username =.*/node.session.auth.username = $CHAP_USER/" \
		-e "s/^#\?\s*node.session.auth.password =.*/node.session.auth.password = $CHAP_PASSWORD/" \
		-e "s/^node.session.timeo.replacement_timeout.*/node.session.timeo.replacement_timeout = 5/" \
		-e "s/^node.conn\[0\].timeo.noop_out_\(interval\|timeout\).*/node.conn[0].timeo.noop_out_\1 = 2/" /etc/iscsi/iscsid.conf
	systemctl restart iscsid
	iscsiadm -m discovery -t st -p "${portals[0]}"
	iscsiadm -m node -T $TARGET --login
	udevadm settle
}

multipath_maps() {
	cat >/etc/multipath.conf <<-X
		defaults {
			user_friendly_names yes
			find_multipaths no
			polling_interval 2
			max_polling_interval 2
			no_path_retry 6
			fast_io_fail_tmo 3
			dev_loss_tmo 30
		}
		blacklist {
			devnode "^(vd[a-z]|loop)"
		}
		multipaths {
	X
	for n in 0 1 2 3; do printf 'multipath {\n\twwid 36001405a000000%d00004000800000000\n\talias lun%d\n}\n' $n $n; done >>/etc/multipath.conf
	echo "}" >>/etc/multipath.conf
	modprobe -a dm_multipath dm_round_robin
	systemctl restart multipathd
	for n in 0 1 2 3; do until_true 30 test -b /dev/mapper/lun$n; done
}
