//! Statements: which kind each is, and its parts.

use datafusion::sql::sqlparser::ast::{
    self, CreateTableOptions, Expr, SqlOption, Statement as Ast, Value,
};
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::super::fault::Fault;
use super::Position;

/// Athena's lexical rules.
#[derive(Debug, Default)]
pub(in super::super) struct AthenaDialect;

impl Dialect for AthenaDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"' || ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_ascii_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_ascii_alphanumeric() || ch == '_'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }
}

/// A table's name as a statement wrote it, lower-cased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct TableName {
    /// `None`: the database of the query's context.
    pub(in super::super) database: Option<String>,
    pub(in super::super) table: String,
    pub(in super::super) at: Position,
}

/// A property of CTAS: name and value, lists as they are.
pub(in super::super) type Property = (String, Vec<String>);

/// What a statement asks for.
#[derive(Clone, Debug)]
pub(in super::super) enum Command {
    /// SELECT, WITH, VALUES, TABLE.
    Query(Box<ast::Query>),
    /// EXPLAIN of a query.
    Explain(Box<ast::Query>),
    /// CREATE TABLE … AS.
    CreateTableAs {
        table: TableName,
        if_not_exists: bool,
        properties: Vec<Property>,
        query: Box<ast::Query>,
    },
    /// CREATE DATABASE or SCHEMA.
    CreateDatabase {
        name: String,
        if_not_exists: bool,
        comment: Option<String>,
        location: Option<String>,
    },
    /// DROP DATABASE or SCHEMA.
    DropDatabase {
        name: String,
        if_exists: bool,
        cascade: bool,
    },
    /// DROP TABLE.
    DropTable { table: TableName, if_exists: bool },
    /// SHOW DATABASES or SCHEMAS, with a LIKE pattern of Hive (`*`, `|`).
    ShowDatabases { pattern: Option<String> },
    /// SHOW TABLES.
    ShowTables {
        database: Option<String>,
        pattern: Option<String>,
    },
    /// SHOW COLUMNS.
    ShowColumns { table: TableName },
    /// SHOW PARTITIONS.
    ShowPartitions { table: TableName },
    /// DESCRIBE.
    Describe { table: TableName },
    /// MSCK REPAIR TABLE.
    RepairTable { table: TableName },
}

/// A parsed statement.
#[derive(Clone, Debug)]
pub(in super::super) struct Statement {
    pub(in super::super) command: Command,
    /// The statement's tokens, to find positions in.
    pub(in super::super) tokens: Vec<TokenWithSpan>,
}

impl Statement {
    /// Parses one statement; a final `;` is allowed.
    ///
    /// # Errors
    /// A sentence with line and column, or the name of what is not supported.
    pub(in super::super) fn parse(sql: &str) -> Result<Self, Fault> {
        let dialect = AthenaDialect;
        let mut tokens: Vec<TokenWithSpan> = Tokenizer::new(&dialect, sql)
            .tokenize_with_location()
            .map_err(|e| {
                syntax(
                    Position {
                        line: e.location.line,
                        column: e.location.column,
                    },
                    &e.message,
                )
            })?
            .into_iter()
            .filter(|t| !matches!(t.token, Token::Whitespace(_)))
            .collect();
        while matches!(
            tokens.last().map(|t| &t.token),
            Some(Token::EOF | Token::SemiColon)
        ) {
            tokens.pop();
        }
        if tokens.is_empty() {
            return Err(syntax(
                Position { line: 1, column: 1 },
                "the statement is empty",
            ));
        }
        if let Some(semicolon) = tokens.iter().find(|t| t.token == Token::SemiColon) {
            return Err(syntax(
                semicolon.span.start.into(),
                "only one SQL statement is allowed",
            ));
        }
        let command = Self::command(&dialect, &tokens)?;
        Ok(Self { command, tokens })
    }

    fn command(dialect: &AthenaDialect, tokens: &[TokenWithSpan]) -> Result<Command, Fault> {
        let mut words = Words { tokens, at: 0 };
        let quoted = tokens
            .iter()
            .find(|t| matches!(&t.token, Token::Word(w) if w.quote_style == Some('`')));
        // Hive's statements take backquotes, Trino's do not.
        let trino = matches!(
            words.keyword(),
            Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::EXPLAIN
        ) || words.next_is(0, "CREATE") && words.next_is(1, "TABLE");
        if let Some(token) = quoted.filter(|_| trino) {
            return Err(syntax(
                token.span.start.into(),
                "backquoted identifiers are not supported; use double quotes to quote identifiers",
            ));
        }
        match words.keyword() {
            Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE => {
                Ok(Command::Query(query(dialect, tokens)?))
            }
            _ if tokens[0].token == Token::LParen => Ok(Command::Query(query(dialect, tokens)?)),
            Keyword::EXPLAIN => {
                if words.tokens.get(1).is_some_and(|t| {
                    matches!(&t.token, Token::Word(w) if w.keyword == Keyword::ANALYZE)
                        || t.token == Token::LParen
                }) {
                    return Err(Fault::unsupported("EXPLAIN with options"));
                }
                Ok(Command::Explain(query(dialect, &tokens[1..])?))
            }
            Keyword::CREATE if words.next_is(1, "TABLE") => create_table(dialect, tokens),
            _ => words.utility(),
        }
    }

    /// `DML`, `DDL` or `UTILITY`, as GetQueryExecution says.
    pub(in super::super) fn kind(&self) -> &'static str {
        match self.command {
            Command::Query(_) => "DML",
            Command::CreateTableAs { .. }
            | Command::CreateDatabase { .. }
            | Command::DropDatabase { .. }
            | Command::DropTable { .. }
            | Command::RepairTable { .. } => "DDL",
            _ => "UTILITY",
        }
    }

    /// The statement's name, as GetQueryExecution's SubstatementType.
    pub(in super::super) fn name(&self) -> &'static str {
        match self.command {
            Command::Query(_) => "SELECT",
            Command::Explain(_) => "EXPLAIN",
            Command::CreateTableAs { .. } => "CREATE_TABLE_AS_SELECT",
            Command::CreateDatabase { .. } => "CREATE_DATABASE",
            Command::DropDatabase { .. } => "DROP_DATABASE",
            Command::DropTable { .. } => "DROP_TABLE",
            Command::ShowDatabases { .. } => "SHOW_DATABASES",
            Command::ShowTables { .. } => "SHOW_TABLES",
            Command::ShowColumns { .. } => "SHOW_COLUMNS",
            Command::ShowPartitions { .. } => "SHOW_PARTITIONS",
            Command::Describe { .. } => "DESCRIBE_TABLE",
            Command::RepairTable { .. } => "MSCK_REPAIR_TABLE",
        }
    }
}

fn syntax(at: Position, message: &str) -> Fault {
    Fault {
        category: super::super::fault::Category::User,
        message: format!("{at}: {}", message.trim_end_matches('.')),
    }
}

/// sqlparser's `Expected: X, found: Y at Line: 1, Column: 8` in Trino's words.
fn parser_fault(error: ParserError) -> Fault {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return Fault::user("SYNTAX_ERROR", "The statement nests too deeply");
        }
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
    };
    let (message, at) = match text.rsplit_once(" at Line: ") {
        Some((message, at)) => {
            let mut numbers = at.split(", Column: ").map(str::parse::<u64>);
            match (numbers.next(), numbers.next()) {
                (Some(Ok(line)), Some(Ok(column))) => (message, Position { line, column }),
                _ => (message, Position { line: 1, column: 1 }),
            }
        }
        None => (text.as_str(), Position { line: 1, column: 1 }),
    };
    match message
        .strip_prefix("Expected: ")
        .and_then(|m| m.split_once(", found: "))
    {
        Some((wanted, found)) => {
            let found = if found == "EOF" { "<EOF>" } else { found };
            syntax(
                at,
                &format!("mismatched input '{found}'. Expecting: {wanted}"),
            )
        }
        None => syntax(at, message),
    }
}

fn parser<'a>(dialect: &'a AthenaDialect, tokens: &[TokenWithSpan]) -> Parser<'a> {
    Parser::new(dialect)
        .with_recursion_limit(200)
        .with_tokens_with_locations(tokens.to_vec())
}

fn query(dialect: &AthenaDialect, tokens: &[TokenWithSpan]) -> Result<Box<ast::Query>, Fault> {
    let mut parser = parser(dialect, tokens);
    let query = parser.parse_query().map_err(parser_fault)?;
    end(&mut parser)?;
    Ok(query)
}

fn end(parser: &mut Parser<'_>) -> Result<(), Fault> {
    let next = parser.peek_token();
    if next.token == Token::EOF {
        Ok(())
    } else {
        Err(syntax(
            next.span.start.into(),
            &format!("mismatched input '{next}'. Expecting: <EOF>"),
        ))
    }
}

fn create_table(dialect: &AthenaDialect, tokens: &[TokenWithSpan]) -> Result<Command, Fault> {
    let mut parser = parser(dialect, tokens);
    let statement = parser.parse_statement().map_err(parser_fault)?;
    end(&mut parser)?;
    let Ast::CreateTable(create) = statement else {
        return Err(Fault::unsupported("this CREATE TABLE"));
    };
    let Some(query) = create.query else {
        return Err(Fault::unsupported("CREATE TABLE without AS"));
    };
    let options = match create.table_options {
        CreateTableOptions::None => Vec::new(),
        CreateTableOptions::With(options) => options,
        _ => return Err(Fault::unsupported("this kind of table options")),
    };
    let properties = options
        .into_iter()
        .map(|option| match option {
            SqlOption::KeyValue { key, value } => {
                Ok((key.value.to_lowercase(), property(&key.value, &value)?))
            }
            other => Err(Fault::user(
                "SYNTAX_ERROR",
                format!("Table property {other} has no value"),
            )),
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    Ok(Command::CreateTableAs {
        table: table_name(&create.name)?,
        if_not_exists: create.if_not_exists,
        properties,
        query,
    })
}

fn property(name: &str, value: &Expr) -> Result<Vec<String>, Fault> {
    let one = |e: &Expr| match e {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) => Some(s.clone()),
            Value::Number(n, _) => Some(n.clone()),
            Value::Boolean(b) => Some(b.to_string()),
            _ => None,
        },
        _ => None,
    };
    let values = match value {
        Expr::Array(array) => array.elem.iter().map(one).collect(),
        other => one(other).map(|v| vec![v]),
    };
    values.ok_or_else(|| {
        Fault::user(
            "INVALID_TABLE_PROPERTY",
            format!("Table property '{name}' must be a literal"),
        )
    })
}

/// The database and table of a dotted name.
fn table_name(name: &ast::ObjectName) -> Result<TableName, Fault> {
    let idents: Vec<&ast::Ident> = name.0.iter().filter_map(|p| p.as_ident()).collect();
    let at = idents
        .first()
        .map(|i| i.span.start.into())
        .unwrap_or_default();
    let parts: Vec<String> = idents.iter().map(|i| i.value.to_lowercase()).collect();
    match parts.as_slice() {
        [table] => Ok(TableName {
            database: None,
            table: table.clone(),
            at,
        }),
        [database, table] => Ok(TableName {
            database: Some(database.clone()),
            table: table.clone(),
            at,
        }),
        [catalog, database, table] if catalog == super::CATALOG => Ok(TableName {
            database: Some(database.clone()),
            table: table.clone(),
            at,
        }),
        [catalog, ..] => Err(Fault::user(
            "CATALOG_NOT_FOUND",
            format!("{at}: Catalog '{catalog}' not found"),
        )),
        [] => Err(syntax(at, "a table name was expected")),
    }
}

/// Reads the statements of Hive, which are words in a row.
struct Words<'t> {
    tokens: &'t [TokenWithSpan],
    at: usize,
}

impl Words<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|t| &t.token)
    }

    fn position(&self) -> Position {
        match self.tokens.get(self.at) {
            Some(token) => token.span.start.into(),
            None => self
                .tokens
                .last()
                .map_or(Position { line: 1, column: 1 }, |t| t.span.end.into()),
        }
    }

    fn keyword(&self) -> Keyword {
        match self.peek() {
            Some(Token::Word(w)) if w.quote_style.is_none() => w.keyword,
            _ => Keyword::NoKeyword,
        }
    }

    fn next_is(&self, after: usize, word: &str) -> bool {
        matches!(
            self.tokens.get(self.at + after).map(|t| &t.token),
            Some(Token::Word(w)) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word)
        )
    }

    fn accept(&mut self, words: &str) -> bool {
        let count = words.split(' ').count();
        let found = words
            .split(' ')
            .enumerate()
            .all(|(i, word)| self.next_is(i, word));
        if found {
            self.at += count;
        }
        found
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let found = self.peek().map_or("<EOF>".to_owned(), ToString::to_string);
        syntax(
            self.position(),
            &format!("mismatched input '{found}'. Expecting: {wanted}"),
        )
    }

    fn name(&mut self) -> Result<String, Fault> {
        match self.peek() {
            Some(Token::Word(w)) => {
                let name = w.value.to_lowercase();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("<identifier>")),
        }
    }

    fn table(&mut self) -> Result<TableName, Fault> {
        let at = self.position();
        let mut parts = vec![self.name()?];
        while self.peek() == Some(&Token::Period) {
            self.at += 1;
            parts.push(self.name()?);
        }
        if parts.len() == 3 && parts[0] == super::CATALOG {
            parts.remove(0);
        }
        match parts.len() {
            1 => Ok(TableName {
                database: None,
                table: parts.remove(0),
                at,
            }),
            2 => Ok(TableName {
                database: Some(parts.remove(0)),
                table: parts.remove(0),
                at,
            }),
            _ => Err(Fault::user(
                "CATALOG_NOT_FOUND",
                format!("{at}: Catalog '{}' not found", parts[0]),
            )),
        }
    }

    fn text(&mut self) -> Result<String, Fault> {
        match self.peek() {
            Some(Token::SingleQuotedString(text)) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.unexpected("<string>")),
        }
    }

    fn end(&self) -> Result<(), Fault> {
        if self.at == self.tokens.len() {
            Ok(())
        } else {
            Err(self.unexpected("<EOF>"))
        }
    }

    fn utility(&mut self) -> Result<Command, Fault> {
        let command = if self.accept("SHOW DATABASES") || self.accept("SHOW SCHEMAS") {
            self.accept("LIKE");
            let pattern = self.peek().is_some().then(|| self.text()).transpose()?;
            Command::ShowDatabases { pattern }
        } else if self.accept("SHOW TABLES") {
            let database = (self.accept("IN") || self.accept("FROM"))
                .then(|| self.name())
                .transpose()?;
            self.accept("LIKE");
            let pattern = self.peek().is_some().then(|| self.text()).transpose()?;
            Command::ShowTables { database, pattern }
        } else if self.accept("SHOW COLUMNS") {
            if !(self.accept("IN") || self.accept("FROM")) {
                return Err(self.unexpected("'FROM', 'IN'"));
            }
            let mut table = self.table()?;
            if self.accept("IN") || self.accept("FROM") {
                table.database = Some(self.name()?);
            }
            Command::ShowColumns { table }
        } else if self.accept("SHOW PARTITIONS") {
            Command::ShowPartitions {
                table: self.table()?,
            }
        } else if self.accept("DESCRIBE") || self.accept("DESC") {
            for word in ["FORMATTED", "EXTENDED"] {
                if self.next_is(0, word) && self.tokens.len() > self.at + 1 {
                    return Err(Fault::unsupported(format!("DESCRIBE {word}")));
                }
            }
            Command::Describe {
                table: self.table()?,
            }
        } else if self.accept("MSCK REPAIR TABLE") {
            Command::RepairTable {
                table: self.table()?,
            }
        } else if self.accept("CREATE DATABASE") || self.accept("CREATE SCHEMA") {
            let if_not_exists = self.accept("IF NOT EXISTS");
            let name = self.name()?;
            let comment = self.accept("COMMENT").then(|| self.text()).transpose()?;
            let location = self.accept("LOCATION").then(|| self.text()).transpose()?;
            Command::CreateDatabase {
                name,
                if_not_exists,
                comment,
                location,
            }
        } else if self.accept("DROP DATABASE") || self.accept("DROP SCHEMA") {
            let if_exists = self.accept("IF EXISTS");
            let name = self.name()?;
            let cascade = self.accept("CASCADE");
            if !cascade {
                self.accept("RESTRICT");
            }
            Command::DropDatabase {
                name,
                if_exists,
                cascade,
            }
        } else if self.accept("DROP TABLE") {
            let if_exists = self.accept("IF EXISTS");
            Command::DropTable {
                table: self.table()?,
                if_exists,
            }
        } else {
            return Err(self.refuse());
        };
        self.end()?;
        Ok(command)
    }

    /// Names the statement that is not supported.
    fn refuse(&self) -> Fault {
        const KNOWN: &[&str] = &[
            "CREATE EXTERNAL TABLE",
            "CREATE OR REPLACE VIEW",
            "CREATE VIEW",
            "CREATE",
            "DROP VIEW",
            "DROP",
            "SHOW CREATE TABLE",
            "SHOW CREATE VIEW",
            "SHOW VIEWS",
            "SHOW TBLPROPERTIES",
            "SHOW FUNCTIONS",
            "SHOW",
            "ALTER TABLE",
            "ALTER DATABASE",
            "ALTER",
            "INSERT INTO",
            "INSERT",
            "UNLOAD",
            "DELETE",
            "UPDATE",
            "MERGE",
            "VACUUM",
            "OPTIMIZE",
            "PREPARE",
            "EXECUTE",
            "DEALLOCATE",
            "MSCK",
            "ANALYZE",
            "GRANT",
            "REVOKE",
            "USING",
            "SET",
            "USE",
        ];
        let words = Words {
            tokens: self.tokens,
            at: 0,
        };
        for known in KNOWN {
            if known
                .split(' ')
                .enumerate()
                .all(|(i, word)| words.next_is(i, word))
            {
                return Fault::unsupported(format!("the statement {known}"));
            }
        }
        words.unexpected(
            "'ALTER', 'CREATE', 'DESCRIBE', 'DROP', 'EXPLAIN', 'MSCK', 'SELECT', 'SHOW', 'TABLE', 'VALUES', 'WITH', <query>",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sql: &str) -> String {
        Statement::parse(sql).unwrap_err().message
    }

    #[test]
    fn statements_are_told_apart() {
        for (sql, kind, name) in [
            ("SELECT 1", "DML", "SELECT"),
            ("with a as (select 1) select * from a;", "DML", "SELECT"),
            ("(select 1) union (select 2)", "DML", "SELECT"),
            ("-- a remark\nselect 1 ;; ", "DML", "SELECT"),
            ("EXPLAIN SELECT 1", "UTILITY", "EXPLAIN"),
            (
                "CREATE TABLE a.b WITH (format = 'PARQUET') AS SELECT 1 x",
                "DDL",
                "CREATE_TABLE_AS_SELECT",
            ),
            ("SHOW TABLES IN market 'ticks*'", "UTILITY", "SHOW_TABLES"),
            ("show databases", "UTILITY", "SHOW_DATABASES"),
            (
                "SHOW PARTITIONS `market`.`ticks`",
                "UTILITY",
                "SHOW_PARTITIONS",
            ),
            ("DESCRIBE market.ticks", "UTILITY", "DESCRIBE_TABLE"),
            (
                "CREATE DATABASE IF NOT EXISTS d COMMENT 'c' LOCATION 's3://b/'",
                "DDL",
                "CREATE_DATABASE",
            ),
            ("DROP TABLE IF EXISTS market.ticks", "DDL", "DROP_TABLE"),
            ("MSCK REPAIR TABLE ticks", "DDL", "MSCK_REPAIR_TABLE"),
        ] {
            let statement = Statement::parse(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
            assert_eq!((statement.kind(), statement.name()), (kind, name), "{sql}");
        }
    }

    #[test]
    fn names_are_lower_cased_and_take_the_catalog() {
        let statement = Statement::parse("DESCRIBE AwsDataCatalog.Market.\"Ticks\"").unwrap();
        let Command::Describe { table } = statement.command else {
            panic!("DESCRIBE");
        };
        assert_eq!(table.database.as_deref(), Some("market"));
        assert_eq!(table.table, "ticks");
        assert_eq!(
            table.at,
            Position {
                line: 1,
                column: 10
            }
        );
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        assert_eq!(
            refused("INSERT INTO t SELECT 1"),
            "NOT_SUPPORTED: the statement INSERT INTO is not supported by the local Athena"
        );
        assert!(refused("CREATE EXTERNAL TABLE t (a int)").contains("CREATE EXTERNAL TABLE"));
        assert!(refused("ALTER TABLE t ADD COLUMNS (a int)").contains("ALTER TABLE"));
        assert!(refused("CREATE TABLE t (a int)").contains("CREATE TABLE without AS"));
    }

    #[test]
    fn syntax_errors_point_at_line_and_column() {
        let message = refused("SELECT a\nFROM t WHERE");
        assert!(message.starts_with("line "), "{message}");
        assert_eq!(
            refused("SELECT 1 2"),
            "line 1:10: mismatched input '2'. Expecting: <EOF>"
        );
        assert!(refused("SELEC 1").starts_with("line 1:1: mismatched input 'SELEC'. Expecting: "));
        assert_eq!(
            refused("SELECT 1; SELECT 2"),
            "line 1:9: only one SQL statement is allowed"
        );
        assert!(refused("").contains("empty"));
        assert!(
            refused(&format!("SELECT {}1{}", "(".repeat(3000), ")".repeat(3000)))
                .contains("nests too deeply")
        );
    }
}
