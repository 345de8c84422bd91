# SPDX-License-Identifier: Apache-2.0
# State `servers`: an iSCSI target with two portals and CHAP, and an NFS export; nobody uses them yet.
. ./lib.sh
addresses servers0 192.0.2.50 192.0.2.60
addresses servers1 198.51.100.60
iscsi_target
nfs_server
