#!/bin/bash
# Brings the JMX exporter that the role jmx_exporter pins into a folder, and prints the path of its jar.
set -eu -o pipefail
to=$1
defaults=$(dirname "$0")/../../ansible/roles/jmx_exporter/defaults/main.yml
version=$(sed -n 's/^jmx_exporter_version: //p' "$defaults")
sum=$(sed -n 's/^jmx_exporter_checksum: sha512://p' "$defaults")
jar=$to/jmx_prometheus_javaagent-$version.jar
if [ ! -e "$jar" ]; then
	mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy "-Dartifact=io.prometheus.jmx:jmx_prometheus_javaagent:$version" "-DoutputDirectory=$to" >&2
fi
echo "$sum  $jar" | sha512sum --check --quiet >&2
echo "$jar"
