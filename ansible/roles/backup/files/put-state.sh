#!/bin/sh
# put-state.sh NEW STATE ASIDE: puts the controller's state of a backup into its place, and what was there aside. One that was killed is run again with the same folders.
# The keys of backups and of OpenBao, which a backup does not hold, stay as they are now; that HDFS was formatted is no longer so.
set -eu
umask 077
new=$1 state=$2 aside=$3

mkdir -p "$aside/.keys/openbao" "$aside/.keys/secrets"
[ ! -d "$state/secrets/backup" ] || cp -a "$state/secrets/backup" "$aside/.keys/secrets/"
for key in "$state"/openbao/unseal-*.key; do
  [ ! -e "$key" ] || cp -a "$key" "$aside/.keys/openbao/"
done

for part in "$new"/*; do
  name=${part##*/}
  if [ -e "$aside/$name" ]; then rm -rf "${state:?}/$name"; elif [ -e "$state/$name" ]; then mv "$state/$name" "$aside/$name"; fi
  mv "$part" "$state/$name"
done

cp -a "$aside/.keys/." "$state/"
rm -rf "$aside/.keys"
rm -f "$state/hdfs_namenode/formatted"
