"""Writes the files of this folder that table.yaml reads: prices as nobody has prepared them.

    python make.py        # needs pyarrow for the Parquet files

The bytes matter (marks, line ends, compression), so that they are made here and not by an editor.
"""

import datetime as dt
import decimal
import gzip
import io
import json
import pathlib
import subprocess
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
BARS = "Date,Open,High,Low,Close,Volume\n2026-11-18,1.5,2.5,1,2,100\n2026-11-19,2,3,1.5,2.5,200\n2026-11-20,2.5,3.5,2,3,300\n"
TRADES = "symbol,time,price,size\nAAPL,2026-11-20T14:30:00Z,272.5,100\nMSFT,2026-11-20T14:30:00.000000001Z,501.25,7\nAAPL,2026-11-20T14:30:01Z,272.55,3\n"


def put(name: str, data: str | bytes) -> None:
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def zipped(members: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 11, 20, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def gz(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def parquet(name: str, table: pa.Table) -> None:
    pq.write_table(table, HERE / name, compression="zstd")


# Shapes of CSV.
put("plain.csv", BARS)
put("other-headers.csv", BARS.replace("Date,Open,High,Low,Close,Volume", "Trade Day,First,Top,Bottom,Last Price,Shares (thousands)"))
put("no-header.csv", BARS.split("\n", 1)[1])
put("bom.csv", "\ufeff" + BARS)
put("crlf.csv", BARS.replace("\n", "\r\n"))
put("crlf-bad.csv", BARS.replace("\n", "\r\n").replace("2.5,200", "much,200"))
put("cr.csv", BARS.replace("\n", "\r"))
put("quotes.csv", 'symbol,time,"price, in USD",note\n"AAPL",2026-11-20T14:30:00Z,"272.5","said ""buy"",\nand left"\n"MSFT",2026-11-20T14:30:01Z,"501.25",\n')
put("semicolon.csv", "Datum;Kurs;Stück\n18.11.2026 15:30;1234,5;10\n19.11.2026 15:30;1235,25;20\n")
put("tab.tsv", TRADES.replace(",", "\t"))
put("pipe.txt", TRADES.replace(",", "|"))
put("blank-lines.csv", BARS.replace("2026-11-19", "\n\n2026-11-19") + "\n\n")
put("trailing-delimiter.csv", "Date,Close\n2026-11-18,1,\n2026-11-19,2,\n")
put("padded.csv", "Date , Close\n 2026-11-18 , 1.5 \n")
put("twice.csv", "Date,Close,Close\n2026-11-18,1,2\n")
put("ragged.csv", "Date,Close\n2026-11-18,1\n2026-11-19\n")
put("open-quote.csv", 'Date,Close\n2026-11-18,1\n2026-11-19,"2\n2026-11-20,3\n')
put("empty.csv", "")
put("only-header.csv", "Date,Close\n")
put("utf16.csv", BARS.encode("utf-16"))
put("utf16-big.txt", b"\xfe\xff" + "symbol\ttime\tprice\tnote\r\nAAPL\t2026-11-20T14:30:00Z\t272.5\tgrößer 𝄞\r\n".encode("utf-16-be"))
put("latin1.csv", "symbol,time,price\nBÖRSE,2026-11-20T14:30:00Z,1\n".encode("latin-1"))

# Numbers.
put("decimal-comma.csv", "Date;Close\n2026-11-18;1234,5\n2026-11-19;0,000000001\n")
put("german.csv", "Date;Close;Volume\n2026-11-18;1.234.567,5;1.000\n2026-11-19;999,25;999\n")
put("american.csv", 'Date,Close/Last,Volume\n2026-11-18,"$1,234.50","1,000,000"\n2026-11-19,$999.25,999\n')
put("french.csv", "Date;Close;Volume\n2026-11-18;1\u202f234,5;1\u00a0000\n")
put("swiss.csv", "Date,Close\n2026-11-18,1'234.5\n")
put("indian.csv", 'Date,Close,Volume\n2026-11-18,"12,34,567.5","1,00,000"\n')
put("short-volumes.csv", "Date,Price,Vol.\n2026-11-18,1.5,35.21M\n2026-11-19,1.6,7K\n")
put("exponents.csv", "Date,Close\n2026-11-18,1.25e3\n2026-11-19,5E-9\n")
put("too-fine.csv", "Date,Close\n2026-11-18,1\n2026-11-19,1.0000000001\n")

# Times.
put("us-dates.csv", "Date,Close\n11/18/2026,1\n11/19/2026,2\n")
put("twelve-hours.csv", "Date,Close\n11/20/2026 9:30:00 AM,1\n11/20/2026 12:00:00 PM,2\n11/20/2026 1:00:00 PM,3\n")
put("month-names.csv", 'Date,Close\n"Nov 18, 2026",1\n"Nov 19, 2026",2\n')
put("date-and-time.csv", "Day,Clock,Close\n2026-11-20,09:30:00,1\n2026-11-20,09:31:00,2\n")
put("several-formats.csv", "Date,Close\n18.11.2026,1\n11/19/2026,2\n2026-11-20,3\n")
put("epoch-s.csv", "t,price\n1795185000,1\n1795185001.5,2\n")
put("epoch-ms.csv", "t,price\n1795185000000,1\n1795185001500,2\n")
put("epoch-us.csv", "t,price\n1795185000000000,1\n1795185001500001,2\n")
put("epoch-ns.csv", "t,price\n1795185000000000000,1\n1795185001500000001,2\n")
put("offsets.csv", "t,price\n2026-11-20T09:30:00-05:00,1\n2026-11-20T15:30:01+01:00,2\n2026-11-20 14:30:02 UTC,3\n")
put("no-zone.csv", "t,price\n2026-11-20 09:30:00,1\n")
put("fold.csv", "t,price\n2026-11-01 00:30:00,1\n2026-11-01 01:15:00,2\n2026-11-01 01:45:00,3\n2026-11-01 01:15:00,4\n2026-11-01 01:45:00,5\n2026-11-01 02:00:00,6\n")
put("spring.csv", "t,price\n2026-03-08 01:59:59,1\n2026-03-08 02:30:00,2\n2026-03-08 03:00:00,3\n")
put("far.csv", "t,price\n1500-01-01T00:00:00Z,1\n")
put("weekend.csv", "Date,Close\n2026-11-20,1\n2026-11-21,2\n")

# Rows.
put("missing.csv", "Date,Open,Close,Volume\n2026-11-18,1,2,\n2026-11-19,NA,2.5,-\n2026-11-20,,3,300\n")
put("no-price.csv", "Date,Close,Volume\n2026-11-18,1,5\n2026-11-19,,6\n")
put("gap.csv", "Date,Close\n2026-11-02,1\n2026-11-20,2\n")
put("descending.csv", "Date,Close\n2026-11-20,3\n2026-11-19,2\n2026-11-18,1\n")
put("duplicates.csv", TRADES.replace("MSFT", "AAPL,2026-11-20T14:30:00Z,272.5,100\nMSFT"))
put("mixed.csv", "symbol,time,price,size\nAAPL,2026-11-20T14:30:00Z,1,1\nAAPL,soon,2,1\n,2026-11-20T14:30:02Z,3,1\nAAPL,2026-11-20T14:30:01Z,four,1\nAAPL,2026-11-20T14:30:01Z,5\nAAPL,2026-11-20T14:29:00Z,6,1\nAAPL,2026-11-20T14:30:03Z,7,1\n")
put("quotes-of-books.csv", "sym,ts,bid,bsz,ask,asz,ex\nAAPL,2026-11-20T14:30:00Z,272.49,100,272.51,200,XNAS\nAAPL,2026-11-20T14:30:01Z,,,272.52,100,XNAS\n")
put("whole-trades.csv", "sym,ts,px,qty,side,id,seq,cond,ccy\nAAPL,2026-11-20T14:30:00Z,272.5,100,B,17,900,@;I,USD\nAAPL,2026-11-20T14:30:01Z,272.5,100,sell,18,901,,USD\n")
put("bad-side.csv", "sym,ts,px,side\nAAPL,2026-11-20T14:30:00Z,1,up\n")

# Compression.
lines = BARS.splitlines(keepends=True)
put("two-members.csv.gz", gz("".join(lines[:2])) + gz("".join(lines[2:])))
put("cut.csv.gz", gz(BARS)[:-20])
put("not-by-its-name.csv", gz(BARS))
put("plain.csv.zst", subprocess.run(["zstd", "-q", "-c", "-"], input=BARS.encode(), capture_output=True, check=True).stdout)
put("members.zip", zipped({"b/MSFT.csv": "Date,Close\n2026-11-18,10\n2026-11-20,30\n", "a/AAPL.csv": "Date,Close\n2026-11-18,1\n2026-11-19,2\n", "__MACOSX/._x": "x", "b/.DS_Store": "x"}))
put("gz-within.zip", zipped({"AAPL.csv.gz": gz("Date,Close\n2026-11-18,1\n")}))
put("workbook.xlsx", zipped({"[Content_Types].xml": "<Types/>", "xl/workbook.xml": "<workbook/>"}))
damaged = bytearray(zipped({"AAPL.csv": "Date,Close\n2026-11-18,1\n"}))
at = damaged.index(b"AAPL.csv") + 12
damaged[14:18] = b"\0\0\0\0"
crc = damaged.rindex(b"PK\x01\x02") + 16
damaged[crc : crc + 4] = b"\1\2\3\4"
put("damaged.zip", bytes(damaged))

# Several files.
put("folder/AAPL.csv", "Date,Close\n2026-11-18,1\n2026-11-20,3\n")
put("folder/BRK.B.csv", "Date,Close\n2026-11-18,5\n2026-11-19,6\n")
put("folder/_part/X.csv", "Date,Close\n2026-11-18,9\n")

# JSON.
put("trades.jsonl", '{"s":"AAPL","t":1795185000000,"p":272.5,"q":"100"}\n\n{"q":1e2,"p":"0.1000000000","t":"2026-11-20T14:30:01Z","s":"AAPL","x":[1]}\n')
put("nested.jsonl", '{"data":{"sym":"AAPL","px":{"last":1.5}},"at":"2026-11-20T14:30:00Z"}\n')
put("bad-line.jsonl", '{"s":"AAPL","t":1795185000,"p":1}\n{"s":"AAPL","t":1795185001,"p":2\n')
put("object-for-price.jsonl", '{"s":"AAPL","t":1795185000,"p":{"last":1}}\n')
put("array.json", '[{"s":"AAPL","t":1795185000,"p":1}]\n')
ROWS = [
    {"symbol": "AAPL", "time": "2026-11-20T14:30:00Z", "price": 272.5, "id": {"text": "],["}},
    {"symbol": "AAPL", "time": "2026-11-20T14:30:00Z", "price": "much"},
    {"symbol": "MSFT", "time": "2026-11-20T14:30:01Z", "price": 501.25, "id": {"text": "2"}},
    [1795185000, 1],
]
put("array-pretty.json", json.dumps(ROWS, indent=2) + "\n")
put("array-cut.json", json.dumps(ROWS[:1] + ROWS[2:3])[:-12])

# Parquet.
day = dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC)
parquet("typed.parquet", pa.table({
    "sym": pa.array(["AAPL", "MSFT"], pa.dictionary(pa.int32(), pa.string())),
    "at": pa.array([day, day + dt.timedelta(seconds=1)], pa.timestamp("us", "America/New_York")),
    "px": pa.array([decimal.Decimal("272.500000001"), None], pa.decimal128(18, 9)),
    "bid": pa.array([0.1, 1e-7], pa.float64()),
    "qty": pa.array([100, 7], pa.int64()),
}))
parquet("days.parquet", pa.table({
    "day": pa.array([dt.date(2026, 11, 18), dt.date(2026, 11, 19)], pa.date32()),
    "close": pa.array([1.1, 2.2], pa.float32()),
    "volume": pa.array([1e16, None], pa.float64()),
}))
parquet("naive.parquet", pa.table({
    "at": pa.array([dt.datetime(2026, 11, 20, 9, 30)], pa.timestamp("ns")),
    "px": pa.array([float("nan")], pa.float64()),
}))

# Ticks as stockpipe writes them.
TICK = '{"symbol":"%s","source":"simulated","kind":"trade","run":"old","seq":%d,"source_seq":%d,"ts_event_ns":%d,"ts_ingest_ns":5,"trade_date":"2026-11-20","session":"regular","price":%s,"size":1}\n'
put("landed.jsonl", TICK % ("MSFT", 4, 40, 1795185001000000000, "2.5") + TICK % ("AAPL", 7, 70, 1795185000000000000, "1.5"))
put("landed.csv", "symbol,source,kind,run,seq,source_seq,ts_event,ts_event_ns,trade_date,price,size,conditions\nMSFT,simulated,trade,old,4,,2026-11-20 14:30:01.000,1795185001000000000,2026-11-20,2.5,1,\"@,I\"\nAAPL,simulated,trade,old,7,70,2026-11-20 14:30:00.000,1795185000000000000,2026-11-20,1.5,1,\n")
