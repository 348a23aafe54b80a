"""Answers the queries of a file by Spark's own client, and prints what each took as a line of JSON: weekly.py SERVER FILE."""

import datetime
import hashlib
import json
import struct
import sys
import time

from pyspark.sql.connect.session import SparkSession

COLUMNS = "date TIMESTAMP, delay BIGINT, distance BIGINT, origin STRING, destination STRING"


def stamp(text):
    """A timestamp literal of SQL, of a time as JSON has it."""
    return datetime.datetime.fromisoformat(text.replace("Z", "")).strftime("TIMESTAMP '%Y-%m-%d %H:%M:%S'")


def answer(spark, q):
    """The result as an Arrow table, ordered by its columns as Almanac orders it."""
    start, end = stamp(q["start"]), stamp(q["end"])
    rows = spark.read.schema(COLUMNS).parquet(*q["files"]).where(f"date >= {stamp(q['from'])} AND date < {end}")
    rows.createOrReplaceTempView("rows")
    text = q["text"].replace(":start", start).replace(":end", end)
    result = spark.sql(text)
    by = q["order_by"] + [c for c in result.columns if c not in q["order_by"]]
    return result.orderBy(*[result[c].asc_nulls_last() for c in by]).toArrow()


def cells(table):
    """The digest of all cells, column by column; a float by its bits."""
    h = hashlib.sha256()
    for column in table.columns:
        for v in column.to_pylist():
            if v is None:
                v = "null"
            elif isinstance(v, float):
                v = format(struct.unpack(">Q", struct.pack(">d", v))[0], "x")
            h.update(f"{v}\0".encode())
    return h.hexdigest()


def main():
    spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    with open(sys.argv[2], encoding="utf-8") as f:
        queries = json.load(f)
    for i, q in enumerate(queries[:1] + queries):
        began = time.perf_counter()
        table = answer(spark, q)
        seconds = time.perf_counter() - began
        if i > 0:
            print("answer " + json.dumps({"seconds": seconds, "rows": table.num_rows, "digest": cells(table)}), flush=True)
    spark.stop()


main()
