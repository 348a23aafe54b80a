"""Reads Iceberg tables with PyIceberg and prints, as JSON, what is in each: rows, and a sum for each column of whole numbers.

    read.py [--webhdfs HOST:PORT] METADATA-FILE...

Files of the scheme hdfs are read through WebHDFS.
"""

import argparse
import json
import sys
from urllib.parse import urlparse

import pyarrow as pa
from fsspec.implementations.webhdfs import WebHDFS
from pyiceberg.io.fsspec import FsspecFileIO
from pyiceberg.table import StaticTable


class OverWebHDFS(WebHDFS):
    """WebHDFS that takes the URIs of HDFS."""

    protocol = "hdfs"

    @classmethod
    def _strip_protocol(cls, path):
        return urlparse(path).path


class HDFS(FsspecFileIO):
    """What PyIceberg reads files by; its own way to HDFS needs Hadoop's native library."""

    def __init__(self, properties):
        super().__init__(properties)
        host, port = properties["webhdfs"].split(":")
        self._scheme_to_fs["hdfs"] = lambda _: OverWebHDFS(host=host, port=int(port), user="almanac")


def describe(metadata):
    properties = {"py-io-impl": "__main__.HDFS", "webhdfs": arguments.webhdfs} if arguments.webhdfs else {}
    table = StaticTable.from_metadata(metadata, properties)
    rows = table.scan().to_arrow()
    sums = {}
    for name in rows.column_names:
        column = rows.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
        if pa.types.is_integer(column.type):
            sums[name] = sum(v for v in column.to_pylist() if v is not None)
    planned = sum(1 for _ in table.scan().plan_files())
    return {"rows": rows.num_rows, "columns": rows.column_names, "sums": sums, "files": planned}


parser = argparse.ArgumentParser()
parser.add_argument("--webhdfs")
parser.add_argument("metadata", nargs="+")
arguments = parser.parse_args()
json.dump({name: describe(name) for name in arguments.metadata}, sys.stdout)
