//! Which column is which field, by what files usually call them.

/// The fields of `source.replay.columns`, each with the names that it goes by: small letters and digits only.
const NAMES: [(&str, &[&str]); 21] = [
    (
        "symbol",
        &[
            "symbol",
            "ticker",
            "sym",
            "instrument",
            "instrumentid",
            "ric",
            "isin",
            "security",
            "secid",
            "code",
            "pair",
            "asset",
            "contract",
            "stock",
            "underlying",
            "s",
            "symbolname",
            "tickersymbol",
            "secname",
            "wertpapier",
            "wkn",
        ],
    ),
    (
        "date",
        &[
            "date",
            "tradedate",
            "tradingdate",
            "day",
            "datum",
            "sessiondate",
            "datadate",
            "fecha",
            "bardate",
        ],
    ),
    (
        "time",
        &[
            "time",
            "at",
            "when",
            "timestamp",
            "datetime",
            "ts",
            "tsevent",
            "tseventns",
            "t",
            "eventtime",
            "tradetime",
            "transacttime",
            "timestampms",
            "timestampns",
            "timestampus",
            "epoch",
            "unix",
            "unixtime",
            "unixtimestamp",
            "opentime",
            "gmttime",
            "localtime",
            "uhrzeit",
            "zeit",
            "bartime",
            "timeutc",
            "utctime",
            "participanttimestamp",
            "siptimestamp",
            "exchangetime",
            "hora",
            "heure",
            "dateandtime",
            "datetimeutc",
            "tradets",
        ],
    ),
    (
        "open",
        &[
            "open",
            "o",
            "openprice",
            "opening",
            "eroffnung",
            "eroffnungskurs",
            "erster",
            "ouverture",
        ],
    ),
    (
        "high",
        &[
            "high",
            "h",
            "highprice",
            "hoch",
            "tageshoch",
            "max",
            "plushaut",
        ],
    ),
    (
        "low",
        &[
            "low",
            "l",
            "lowprice",
            "tief",
            "tagestief",
            "min",
            "plusbas",
        ],
    ),
    (
        "close",
        &[
            "close",
            "c",
            "closeprice",
            "closing",
            "closelast",
            "settle",
            "settlement",
            "schluss",
            "schlusskurs",
            "cloture",
            "closingprice",
        ],
    ),
    (
        "adjClose",
        &[
            "adjclose",
            "adjustedclose",
            "adjcloseprice",
            "closeadj",
            "adjustedclosingprice",
        ],
    ),
    (
        "volume",
        &[
            "volume",
            "vol",
            "v",
            "totalvolume",
            "tradedvolume",
            "volumen",
            "umsatz",
            "basevolume",
            "sharestraded",
            "totaltradedquantity",
            "volumebtc",
        ],
    ),
    (
        "price",
        &[
            "price",
            "last",
            "lastprice",
            "px",
            "tradeprice",
            "p",
            "rate",
            "kurs",
            "prix",
            "precio",
            "lasttradedprice",
        ],
    ),
    (
        "size",
        &[
            "size",
            "qty",
            "quantity",
            "amount",
            "q",
            "tradesize",
            "lastsize",
            "stuck",
            "stueck",
            "lastqty",
            "sz",
        ],
    ),
    (
        "bidPrice",
        &[
            "bid",
            "bidprice",
            "bidpx",
            "bestbid",
            "b",
            "bidpx00",
            "geld",
            "bidprice1",
            "bp",
        ],
    ),
    (
        "bidSize",
        &[
            "bidsize",
            "bsz",
            "bidqty",
            "bidsz",
            "bidvolume",
            "bestbidsize",
            "bidsz00",
            "bidsize1",
            "bs",
            "bestbidqty",
        ],
    ),
    (
        "askPrice",
        &[
            "ask",
            "askprice",
            "askpx",
            "offer",
            "ofr",
            "bestask",
            "a",
            "askpx00",
            "brief",
            "offerprice",
            "ap",
        ],
    ),
    (
        "askSize",
        &[
            "asksize",
            "asz",
            "askqty",
            "asksz",
            "askvolume",
            "bestasksize",
            "asksz00",
            "ofrsize",
            "offersize",
            "bestaskqty",
        ],
    ),
    ("currency", &["currency", "ccy", "cur", "wahrung", "devise"]),
    (
        "venue",
        &["exchange", "venue", "mic", "ex", "exch", "market"],
    ),
    (
        "tradeId",
        &["tradeid", "id", "tid", "transactionid", "aggtradeid", "i"],
    ),
    (
        "side",
        &["side", "aggressor", "takerside", "buysell", "direction"],
    ),
    (
        "conditions",
        &[
            "conditions",
            "condition",
            "cond",
            "saleconditions",
            "salecondition",
        ],
    ),
    (
        "sourceSeq",
        &["sequence", "seq", "sequencenumber", "seqnum", "sourceseq"],
    ),
];

/// The field that a column of this name usually is.
pub fn field_of(name: &str) -> Option<&'static str> {
    let bare = bare(name);
    NAMES
        .iter()
        .find(|(_, names)| names.contains(&bare.as_str()))
        .map(|(field, _)| *field)
}

/// Small letters and digits: of the last part of a dotted name, without what stands in brackets.
fn bare(name: &str) -> String {
    let name = name.split(['(', '[']).next().unwrap_or(name);
    let name = name
        .rsplit('.')
        .find(|part| !part.trim().is_empty())
        .unwrap_or(name);
    name.chars()
        .flat_map(char::to_lowercase)
        .filter_map(|c| match c {
            'ä' => Some('a'),
            'ö' => Some('o'),
            'ü' | 'û' => Some('u'),
            'é' | 'è' => Some('e'),
            'ô' => Some('o'),
            c => c.is_ascii_alphanumeric().then_some(c),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_their_usual_names() {
        for (name, field) in [
            ("Adj Close", Some("adjClose")),
            ("adj_close", Some("adjClose")),
            ("Close/Last", Some("close")),
            ("Volume (BTC)", Some("volume")),
            ("Eröffnung", Some("open")),
            ("ts_event", Some("time")),
            ("data.bid_px_00", Some("bidPrice")),
            ("Vol.", Some("volume")),
            ("<TICKER>", Some("symbol")),
            ("Change %", None),
        ] {
            assert_eq!(field_of(name), field, "{name}");
        }
    }
}
