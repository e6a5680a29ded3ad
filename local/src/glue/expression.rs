//! The filter language of `GetPartitions`: comparisons of partition keys,
//! `IN`, `BETWEEN`, `LIKE`, `IS NULL`, `AND`, `OR`, `NOT` and parentheses.
//!
//! Values are compared by the type of the key, so that `hour > 9` holds for 10
//! when `hour` is an `int`, and does not when it is a `string`.

use std::cmp::Ordering;

/// What Hive writes for a partition whose key is NULL.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// How the values of a partition key compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// By code point: `string`, `varchar`, `char`, and every type not below.
    Text,
    /// As whole numbers: `tinyint`, `smallint`, `int`, `bigint`.
    Integer,
    /// As decimal numbers: `decimal(p,s)`, `float`, `double`.
    Decimal,
    /// As days: `date`.
    Date,
    /// As instants: `timestamp`.
    Timestamp,
}

impl KeyType {
    /// The comparison of a Glue type, for instance `decimal(18,9)`.
    pub fn of(glue_type: &str) -> Self {
        let base = glue_type
            .split('(')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase();
        match base.as_str() {
            "tinyint" | "smallint" | "int" | "integer" | "bigint" | "long" => Self::Integer,
            "decimal" | "float" | "double" => Self::Decimal,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            _ => Self::Text,
        }
    }

    /// Compares two values of this type; `None` when one is not of the type.
    fn compare(self, a: &str, b: &str) -> Option<Ordering> {
        match self {
            Self::Text => Some(a.cmp(b)),
            Self::Integer => Some(
                a.trim()
                    .parse::<i128>()
                    .ok()?
                    .cmp(&b.trim().parse::<i128>().ok()?),
            ),
            Self::Decimal => compare_decimals(a.trim(), b.trim()),
            Self::Date => Some(
                a.parse::<jiff::civil::Date>()
                    .ok()?
                    .cmp(&b.parse::<jiff::civil::Date>().ok()?),
            ),
            Self::Timestamp => Some(instant(a)?.cmp(&instant(b)?)),
        }
    }
}

fn instant(text: &str) -> Option<jiff::civil::DateTime> {
    text.parse::<jiff::civil::DateTime>().ok().or_else(|| {
        let date = text.parse::<jiff::civil::Date>().ok()?;
        Some(date.to_datetime(jiff::civil::Time::midnight()))
    })
}

/// Compares plain decimals digit by digit, and other notations as doubles.
fn compare_decimals(a: &str, b: &str) -> Option<Ordering> {
    match (plain(a), plain(b)) {
        (Some(a), Some(b)) => Some(compare_plain(&a, &b)),
        _ => a.parse::<f64>().ok()?.partial_cmp(&b.parse::<f64>().ok()?),
    }
}

/// Sign, digits before the point without leading zeros, digits after it
/// without trailing zeros.
fn plain(text: &str) -> Option<(bool, &str, &str)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty())
        || !whole
            .bytes()
            .chain(fraction.bytes())
            .all(|c| c.is_ascii_digit())
    {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let zero = whole.is_empty() && fraction.is_empty();
    Some((negative && !zero, whole, fraction))
}

fn compare_plain(a: &(bool, &str, &str), b: &(bool, &str, &str)) -> Ordering {
    let magnitude =
        a.1.len()
            .cmp(&b.1.len())
            .then_with(|| a.1.cmp(b.1))
            .then_with(|| a.2.cmp(b.2));
    match (a.0, b.0) {
        (false, false) => magnitude,
        (true, true) => magnitude.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

/// Why an expression was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unsupported expression {expression:?}: {reason}.")]
pub struct ExpressionError {
    expression: String,
    reason: String,
}

/// A parsed expression over the partition keys of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionFilter(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Compare(Key, Comparison, String),
    Between(Key, String, String),
    In(Key, Vec<String>),
    Like(Key, Vec<Like>),
    IsNull(Key),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    index: usize,
    compares: KeyType,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Like {
    Any,
    One,
    Char(char),
}

impl PartitionFilter {
    /// Parses `expression` for a table with these partition keys.
    ///
    /// # Errors
    /// When it is not of the language, names no partition key, or compares a
    /// key with a value that is not of its type.
    pub fn parse(expression: &str, keys: &[(String, KeyType)]) -> Result<Self, ExpressionError> {
        let error = |reason: String| ExpressionError {
            expression: expression.to_owned(),
            reason,
        };
        let tokens = tokens(expression).map_err(error)?;
        let mut parser = Parser {
            tokens: &tokens,
            at: 0,
            depth: 0,
            keys,
        };
        let node = parser.or().map_err(error)?;
        match parser.peek() {
            None => Ok(Self(node)),
            Some(token) => Err(error(format!("{token} was not expected"))),
        }
    }

    /// Whether a partition with these values, in the keys' order, fulfils it.
    /// As in SQL, a comparison with NULL is not true.
    pub fn matches(&self, values: &[&str]) -> bool {
        self.0.truth(values) == Some(true)
    }
}

impl Node {
    /// Three-valued: `None` is SQL's unknown.
    fn truth(&self, values: &[&str]) -> Option<bool> {
        match self {
            Self::And(a, b) => match (a.truth(values), b.truth(values)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.truth(values), b.truth(values)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(inner) => inner.truth(values).map(|t| !t),
            Self::Compare(key, comparison, literal) => {
                let ordering = key.compares.compare(key.value(values)?, literal)?;
                Some(comparison.holds(ordering))
            }
            Self::Between(key, low, high) => {
                let value = key.value(values)?;
                Some(
                    key.compares.compare(value, low)?.is_ge()
                        && key.compares.compare(value, high)?.is_le(),
                )
            }
            Self::In(key, literals) => {
                let value = key.value(values)?;
                Some(
                    literals
                        .iter()
                        .any(|l| key.compares.compare(value, l) == Some(Ordering::Equal)),
                )
            }
            Self::Like(key, pattern) => {
                let text: Vec<char> = key.value(values)?.chars().collect();
                Some(like(pattern, &text))
            }
            Self::IsNull(key) => Some(key.value(values).is_none()),
        }
    }
}

impl Key {
    fn value<'v>(self, values: &[&'v str]) -> Option<&'v str> {
        values
            .get(self.index)
            .copied()
            .filter(|v| *v != NULL_PARTITION)
    }
}

/// Whether `text` fulfils the pattern, in time |pattern| × |text| at most.
fn like(pattern: &[Like], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Like::Any) => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(Like::One) => {
                p += 1;
                t += 1;
            }
            Some(Like::Char(c)) if *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    p = after;
                    t = from + 1;
                    retry = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|l| *l == Like::Any)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(String),
    Symbol(&'static str),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(w) | Self::Number(w) => f.write_str(w),
            Self::Text(t) => write!(f, "'{t}'"),
            Self::Symbol(s) => f.write_str(s),
        }
    }
}

const SYMBOLS: [&str; 10] = ["<>", "!=", "<=", ">=", "=", "<", ">", "(", ")", ","];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let quote @ ('\'' | '"' | '`') = first {
            let mut value = String::new();
            let mut chars = rest[1..].char_indices().peekable();
            let end = loop {
                match chars.next() {
                    Some((i, c)) if c == quote => {
                        if quote == '\'' && chars.peek().is_some_and(|(_, c)| *c == quote) {
                            chars.next();
                            value.push(quote);
                        } else {
                            break i;
                        }
                    }
                    Some((_, c)) => value.push(c),
                    None => return Err(format!("the quote {quote} is not closed")),
                }
            };
            tokens.push(if quote == '\'' {
                Token::Text(value)
            } else {
                Token::Word(value)
            });
            rest = &rest[end + 2..];
        } else if let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            tokens.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || "_.-+".contains(c)))
                .unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("{first:?} was not expected"));
            }
            let word = &rest[..end];
            let number =
                plain(word).is_some() || (first.is_ascii_digit() && word.parse::<f64>().is_ok());
            tokens.push(if number {
                Token::Number(word.to_owned())
            } else {
                Token::Word(word.to_owned())
            });
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// Deepest nesting of parentheses and NOT.
const DEEPEST: usize = 100;

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    keys: &'t [(String, KeyType)],
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(s)) if *s == symbol);
        self.at += usize::from(found);
        found
    }

    fn unexpected(&self, wanted: &str) -> String {
        match self.peek() {
            Some(token) => format!("{wanted} was expected before {token}"),
            None => format!("{wanted} was expected at the end"),
        }
    }

    fn or(&mut self) -> Result<Node, String> {
        let mut left = self.and()?;
        while self.keyword("or") {
            left = Node::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Node, String> {
        let mut left = self.not()?;
        while self.keyword("and") {
            left = Node::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it nests deeper than {DEEPEST} levels"));
        }
        let node = if self.keyword("not") {
            Node::Not(Box::new(self.not()?))
        } else if self.symbol("(") {
            let inner = self.or()?;
            if !self.symbol(")") {
                return Err(self.unexpected(")"));
            }
            inner
        } else {
            self.predicate()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn predicate(&mut self) -> Result<Node, String> {
        // A literal may stand on the left: '2026' < year.
        if matches!(self.peek(), Some(Token::Text(_) | Token::Number(_))) {
            let at = self.at;
            self.at += 1;
            let comparison = self.comparison()?;
            let key = self.key()?;
            let after = std::mem::replace(&mut self.at, at);
            let literal = self.literal(key)?;
            self.at = after;
            return Ok(Node::Compare(key, comparison.mirrored(), literal));
        }
        let key = self.key()?;
        if self.keyword("is") {
            let negated = self.keyword("not");
            if !self.keyword("null") {
                return Err(self.unexpected("NULL"));
            }
            return Ok(negate(negated, Node::IsNull(key)));
        }
        let negated = self.keyword("not");
        if self.keyword("in") {
            if !self.symbol("(") {
                return Err(self.unexpected("("));
            }
            let mut literals = vec![self.literal(key)?];
            while self.symbol(",") {
                literals.push(self.literal(key)?);
            }
            if !self.symbol(")") {
                return Err(self.unexpected(")"));
            }
            return Ok(negate(negated, Node::In(key, literals)));
        }
        if self.keyword("between") {
            let low = self.literal(key)?;
            if !self.keyword("and") {
                return Err(self.unexpected("AND"));
            }
            let high = self.literal(key)?;
            return Ok(negate(negated, Node::Between(key, low, high)));
        }
        if self.keyword("like") {
            let Some(Token::Text(pattern)) = self.peek() else {
                return Err(self.unexpected("a quoted pattern"));
            };
            let pattern = pattern
                .chars()
                .map(|c| match c {
                    '%' => Like::Any,
                    '_' => Like::One,
                    c => Like::Char(c),
                })
                .collect();
            self.at += 1;
            return Ok(negate(negated, Node::Like(key, pattern)));
        }
        if negated {
            return Err(self.unexpected("IN, BETWEEN or LIKE"));
        }
        let comparison = self.comparison()?;
        let literal = self.literal(key)?;
        Ok(Node::Compare(key, comparison, literal))
    }

    fn key(&mut self) -> Result<Key, String> {
        let Some(Token::Word(word)) = self.peek() else {
            return Err(self.unexpected("a partition key"));
        };
        let found = self
            .keys
            .iter()
            .position(|(name, _)| name.eq_ignore_ascii_case(word));
        match found {
            Some(index) => {
                self.at += 1;
                Ok(Key {
                    index,
                    compares: self.keys[index].1,
                })
            }
            None => Err(format!("{word} is not a partition key")),
        }
    }

    fn comparison(&mut self) -> Result<Comparison, String> {
        let comparison = match self.peek() {
            Some(Token::Symbol("=")) => Comparison::Equal,
            Some(Token::Symbol("<>" | "!=")) => Comparison::NotEqual,
            Some(Token::Symbol("<")) => Comparison::Less,
            Some(Token::Symbol("<=")) => Comparison::LessOrEqual,
            Some(Token::Symbol(">")) => Comparison::Greater,
            Some(Token::Symbol(">=")) => Comparison::GreaterOrEqual,
            _ => return Err(self.unexpected("a comparison")),
        };
        self.at += 1;
        Ok(comparison)
    }

    fn literal(&mut self, key: Key) -> Result<String, String> {
        // `date '2026-11-20'` is what it says without the word.
        if matches!(self.tokens.get(self.at + 1), Some(Token::Text(_))) && !self.keyword("date") {
            self.keyword("timestamp");
        }
        let Some(Token::Text(value) | Token::Number(value)) = self.peek() else {
            return Err(self.unexpected("a value"));
        };
        let value = value.clone();
        if key.compares.compare(&value, &value).is_none() {
            return Err(format!(
                "{value} is not of the type of the partition key {}",
                self.keys[key.index].0
            ));
        }
        self.at += 1;
        Ok(value)
    }
}

fn negate(negated: bool, node: Node) -> Node {
    if negated {
        Node::Not(Box::new(node))
    } else {
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<(String, KeyType)> {
        vec![
            ("dt".into(), KeyType::of("string")),
            ("hour".into(), KeyType::of("int")),
            ("day".into(), KeyType::of("date")),
            ("limit_price".into(), KeyType::of("decimal(18,9)")),
        ]
    }

    fn holds(expression: &str) -> bool {
        PartitionFilter::parse(expression, &keys())
            .unwrap()
            .matches(&["2026-11-20", "9", "2026-11-20", "10.50"])
    }

    #[test]
    fn operators_hold_as_in_sql() {
        for yes in [
            "dt = '2026-11-20'",
            "DT='2026-11-20' AND hour = 9",
            "dt <> '2026-11-21'",
            "dt != '2026-11-21'",
            "dt > '2026-11-19' and dt < '2026-11-21'",
            "dt >= '2026-11-20' and dt <= '2026-11-20'",
            "dt in ('2026-11-19', '2026-11-20')",
            "dt not in ('2026-11-19')",
            "dt between '2026-11-01' and '2026-11-30'",
            "dt not between '2025-01-01' and '2025-12-31'",
            "dt like '2026-11-%'",
            "dt like '____-11-20'",
            "dt not like '%-12-%'",
            "dt is not null",
            "not dt = '2025-01-01'",
            "(hour = 1 or hour = 9) and (dt like '2026%')",
            "hour = 1 or hour = 2 or hour = 9",
            "'2026-11-19' < dt",
            "\"dt\" = '2026-11-20'",
            "day = date '2026-11-20'",
            "limit_price = 10.5",
            "limit_price = '10.500000000'",
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            "dt = '2026-11-21'",
            "hour <> 9",
            "dt is null",
            "not (dt like '2026%')",
            "hour = 1 or hour = 2 and dt = '2026-11-20'",
            "day < '2026-11-20'",
        ] {
            assert!(!holds(no), "{no}");
        }
    }

    #[test]
    fn values_compare_by_the_type_of_the_key() {
        assert!(holds("hour < 10"), "9 < 10 as numbers");
        let text = vec![("hour".to_owned(), KeyType::Text)];
        let filter = PartitionFilter::parse("hour < '10'", &text).unwrap();
        assert!(!filter.matches(&["9"]), "'9' > '10' as text");
        assert!(holds("limit_price > 9.75"), "10.50 > 9.75 as decimals");
        assert!(!holds("limit_price > 10.500000000000000000000000000001"));
    }

    #[test]
    fn null_partition_fulfils_only_is_null() {
        let filter = |e: &str| PartitionFilter::parse(e, &keys()).unwrap();
        let values = [NULL_PARTITION, "1", "2026-11-20", "1"];
        assert!(filter("dt is null").matches(&values));
        assert!(!filter("dt <> 'x'").matches(&values));
        assert!(!filter("not dt = 'x'").matches(&values));
        assert!(filter("dt = 'x' or hour = 1").matches(&values));
    }

    #[test]
    fn quotes_are_doubled_inside_text() {
        let keys = vec![("name".to_owned(), KeyType::Text)];
        let filter = PartitionFilter::parse("name = 'O''Neil'", &keys).unwrap();
        assert!(filter.matches(&["O'Neil"]));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_reason() {
        for (expression, reason) in [
            ("price = 1", "price is not a partition key"),
            (
                "hour = 'x'",
                "x is not of the type of the partition key hour",
            ),
            ("dt = ", "a value was expected at the end"),
            ("dt '2026'", "a comparison was expected before '2026'"),
            ("dt = 'a' garbage", "garbage was not expected"),
            ("(dt = 'a'", ") was expected at the end"),
            ("dt = 'a", "the quote ' is not closed"),
            ("dt ~ 'a'", "'~' was not expected"),
        ] {
            let error = PartitionFilter::parse(expression, &keys()).unwrap_err();
            assert_eq!(error.reason, reason, "{expression}");
        }
        let deep = format!("{}dt = 'a'{}", "(".repeat(5000), ")".repeat(5000));
        assert!(PartitionFilter::parse(&deep, &keys()).is_err());
    }

    #[test]
    fn like_is_linear_on_hostile_patterns() {
        let keys = vec![("dt".to_owned(), KeyType::Text)];
        let filter =
            PartitionFilter::parse(&format!("dt like '{}b'", "%a".repeat(60)), &keys).unwrap();
        assert!(!filter.matches(&[&"a".repeat(4000)]));
    }
}
