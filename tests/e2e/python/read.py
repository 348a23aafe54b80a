"""Reads Iceberg tables with PyIceberg and prints, as JSON, what is in each: rows, and a sum for each column of whole numbers.

    read.py METADATA-FILE...
"""

import json
import sys

import pyarrow as pa
from pyiceberg.table import StaticTable


def describe(metadata):
    table = StaticTable.from_metadata(metadata)
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


json.dump({name: describe(name) for name in sys.argv[1:]}, sys.stdout)
