#!/bin/bash
# Starts the monitor, the object store and the gateway; ACCESS_KEY and SECRET_KEY may do everything there.
set -euo pipefail

FSID=$(cat /proc/sys/kernel/random/uuid)
OSD=$(cat /proc/sys/kernel/random/uuid)
cat >/etc/ceph/ceph.conf <<CONF
[global]
fsid = $FSID
mon_host = 127.0.0.1:6789
public_network = 127.0.0.0/8
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_warn_on_pool_no_redundancy = false
log_to_stderr = false
log_file = /var/log/ceph/\$name.log
rgw_dynamic_resharding = false
rgw_s3_auth_use_keystone = false
CONF
mkdir -p /var/lib/ceph/mon/ceph-a /var/lib/ceph/osd/ceph-0 /var/run/ceph /var/log/ceph
monmaptool --create --addv a "[v1:127.0.0.1:6789]" --fsid "$FSID" /tmp/monmap >/dev/null
ceph-mon --mkfs -i a --monmap /tmp/monmap
ceph-mon -i a
ceph osd new "$OSD" >/dev/null
ceph-osd -i 0 --mkfs --osd-uuid "$OSD" >/dev/null 2>&1
ceph osd crush add osd.0 1 root=default >/dev/null 2>&1
ceph-osd -i 0
radosgw-admin user create --uid tests --display-name tests \
    --access-key "$ACCESS_KEY" --secret-key "$SECRET_KEY" >/dev/null 2>&1
exec radosgw -f -n client.rgw --rgw_frontends "beast port=7480"
