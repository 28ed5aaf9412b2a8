//! A query as the administrator wrote it, read once: where its variables stand decides how their values
//! get in. No value ever becomes part of the query's language:
//! - a `'…'` literal with variables becomes one bound parameter, and so does a variable on its own;
//! - a variable that is part of a name, quoted or not, is put into the text, and only a value of letters,
//!   digits and `_` may be;
//! - `"…"` with variables behind a comparison is what SQLite takes it for when no column is called so:
//!   text, and bound; elsewhere it is refused, since a user's name could choose a column.
//!
//! Comments are left out. Knows nothing of connections.

use std::sync::Arc;

use auth::expand::Template;
use auth::request::Request;

/// Longest value that is bound or put into a query, in bytes.
const LONGEST_VALUE: usize = 64 * 1024;

/// Longest value that is put into a name, in bytes.
const LONGEST_NAME: usize = 64;

/// A query with its variables.
#[derive(Debug)]
pub(crate) struct Query {
    /// The setting it comes from, for messages.
    setting: &'static str,
    pieces: Vec<Piece>,
    /// The statement, where values only get in as parameters.
    statement: Option<Arc<str>>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    /// A parameter: text, whatever it looks like.
    Literal(Template),
    /// A parameter: a number where the value is one, as it would have been without quotes.
    Bare(Template),
    /// One variable that is a name or part of one.
    Name(Template),
}

/// A query ready to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// The statement with `?1`, `?2`, …
    pub(crate) statement: Arc<str>,
    /// The parameters' values.
    pub(crate) values: Vec<Value>,
}

/// A parameter's value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
}

impl Query {
    /// Reads the query of a setting. The error says what cannot be understood.
    pub(crate) fn parse(setting: &'static str, text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text, pieces: Vec::new(), before: Before::Nothing };
        reader.read().map_err(|fault| format!("{setting}: {fault}"))?;
        let mut query = Self { setting, pieces: reader.pieces, statement: None };
        if let Some(Piece::Text(last)) = query.pieces.last_mut() {
            last.truncate(last.trim_end_matches(|c: char| c.is_whitespace() || c == ';').len());
        }
        if !query.pieces.iter().any(|piece| matches!(piece, Piece::Name(_))) {
            query.statement = Some(query.assemble(|_| Ok(String::new()))?.into());
        }
        Ok(query)
    }

    /// What every lookup will fail for, as far as it can be told beforehand.
    pub(crate) fn faults(&self) -> Vec<String> {
        let faults = self.pieces.iter().flat_map(|piece| match piece {
            Piece::Text(_) => Vec::new(),
            Piece::Literal(template) | Piece::Bare(template) | Piece::Name(template) => template.faults(),
        });
        faults.map(|fault| format!("{}: {fault}", self.setting)).collect()
    }

    /// The setting it comes from.
    pub(crate) fn setting(&self) -> &'static str {
        self.setting
    }

    /// The statement, where it is the same for every request.
    pub(crate) fn statement(&self) -> Option<&Arc<str>> {
        self.statement.as_ref()
    }

    /// The query for one request.
    pub(crate) fn bind(&self, request: &Request<'_>) -> Result<Bound, String> {
        let fault = |fault: &dyn std::fmt::Display| format!("{}: {fault}", self.setting);
        let mut values = Vec::new();
        for piece in &self.pieces {
            let (template, bare) = match piece {
                Piece::Literal(template) => (template, false),
                Piece::Bare(template) => (template, true),
                Piece::Text(_) | Piece::Name(_) => continue,
            };
            let value = template.expand(request).map_err(|error| fault(&error))?;
            if value.len() > LONGEST_VALUE {
                return Err(fault(&format!("the value of {} is too long", template.text())));
            }
            values.push(match whole_number(&value) {
                Some(number) if bare => Value::Number(number),
                _ => Value::Text(value),
            });
        }
        let statement = match &self.statement {
            Some(statement) => Arc::clone(statement),
            None => self.assemble(|template| name(template, request).map_err(|error| fault(&error)))?.into(),
        };
        Ok(Bound { statement, values })
    }

    fn assemble(&self, name: impl Fn(&Template) -> Result<String, String>) -> Result<String, String> {
        let mut statement = String::new();
        let mut parameters = 0;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => statement.push_str(text),
                Piece::Name(template) => statement.push_str(&name(template)?),
                Piece::Literal(_) | Piece::Bare(_) => {
                    parameters += 1;
                    statement.push_str(&format!("?{parameters}"));
                }
            }
        }
        Ok(statement)
    }
}

/// The value of a variable that is part of a name.
fn name(variable: &Template, request: &Request<'_>) -> Result<String, String> {
    let value = variable.expand(request).map_err(|error| error.to_string())?;
    let is_word = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_word && (1..=LONGEST_NAME).contains(&value.len()) {
        Ok(value)
    } else {
        Err(format!("the value of {} is not fit for a name", variable.text()))
    }
}

/// The number that this is the plain decimal form of.
fn whole_number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// What stands before the place being read, blanks and comments aside.
#[derive(Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A word, upper case.
    Word(String),
    Sign(char),
    /// Anything quoted, or a parameter.
    Operand,
}

impl Before {
    /// Whether a name must follow: of a table, a column, an alias.
    fn wants_name(&self) -> bool {
        match self {
            Self::Word(word) => {
                matches!(
                    word.as_str(),
                    "FROM" | "JOIN" | "INTO" | "UPDATE" | "TABLE" | "AS" | "COLLATE" | "BY"
                )
            }
            Self::Sign(sign) => *sign == '.',
            Self::Nothing | Self::Operand => false,
        }
    }

    fn compares(&self) -> bool {
        match self {
            Self::Word(word) => matches!(word.as_str(), "LIKE" | "GLOB" | "IS"),
            Self::Sign(sign) => matches!(sign, '=' | '<' | '>'),
            Self::Nothing | Self::Operand => false,
        }
    }
}

struct Reader<'q> {
    rest: &'q str,
    pieces: Vec<Piece>,
    before: Before,
}

impl<'q> Reader<'q> {
    fn read(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                _ if c.is_whitespace() => {
                    self.take(c.len_utf8());
                    self.text(" ");
                }
                '-' if self.rest.starts_with("--") => {
                    self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
                    self.text(" ");
                }
                '/' if self.rest.starts_with("/*") => {
                    self.take(self.rest[2..].find("*/").map_or(self.rest.len(), |at| at + 4));
                    self.text(" ");
                }
                '\'' => self.literal()?,
                '"' | '`' => self.quoted_name(c, c)?,
                '[' => self.quoted_name('[', ']')?,
                '%' if self.rest.starts_with("%%") => {
                    self.take(2);
                    self.text("%");
                    self.before = Before::Sign('%');
                }
                '%' => self.word(),
                _ if is_word(c) => self.word(),
                _ => {
                    let sign = self.take(c.len_utf8());
                    self.text(sign);
                    self.before = Before::Sign(c);
                }
            }
        }
        Ok(())
    }

    /// `'…'`: text, except where a name must stand.
    fn literal(&mut self) -> Result<(), String> {
        let inner = self.quoted('\'')?;
        let template = Template::parse(&inner.replace("''", "'"));
        if template.is_literal() {
            self.text(&format!("'{inner}'"));
        } else if self.before.wants_name() || self.rest.starts_with('.') {
            let name = inner.replace("''", "'").replace('"', "\"\"");
            self.name_in('"', &name, '"');
        } else {
            self.pieces.push(Piece::Literal(template));
        }
        self.before = Before::Operand;
        Ok(())
    }

    /// `"…"`, `` `…` `` and `[…]`: a name, except for `"…"` where only text makes sense.
    fn quoted_name(&mut self, open: char, close: char) -> Result<(), String> {
        let inner = self.quoted(close)?;
        let doubled = format!("{close}{close}");
        let template = Template::parse(&inner.replace(&doubled, &close.to_string()));
        if template.is_literal() {
            self.text(&format!("{open}{inner}{close}"));
        } else if open != '"' || self.before.wants_name() || self.rest.starts_with('.') {
            self.name_in(open, inner, close);
        } else if self.before.compares() {
            self.pieces.push(Piece::Literal(template));
        } else {
            return Err(format!("\"{inner}\" could be a name or text (write '{inner}' for text)"));
        }
        self.before = Before::Operand;
        Ok(())
    }

    /// A word with the variables in it: a keyword, a name, a number, or a value of its own.
    fn word(&mut self) {
        let whole = self.rest;
        let mut only_variables = true;
        while let Some(c) = self.rest.chars().next() {
            if c == '%' && !self.rest.starts_with("%%") {
                self.take(variable_length(self.rest));
            } else if is_word(c) {
                only_variables = false;
                self.take(c.len_utf8());
            } else {
                break;
            }
        }
        let word = &whole[..whole.len() - self.rest.len()];
        let template = Template::parse(word);
        if template.is_literal() {
            self.text(word);
            if word.eq_ignore_ascii_case("x") && self.rest.starts_with('\'') {
                self.blob();
            } else {
                self.before = Before::Word(word.to_ascii_uppercase());
            }
            return;
        }
        let is_name = !only_variables || self.before.wants_name() || self.rest.starts_with(['.', '(', '\'']);
        if is_name {
            self.name(word);
        } else {
            self.pieces.push(Piece::Bare(template));
        }
        self.before = Before::Operand;
    }

    /// The digits of `x'…'`, which no parameter can stand for.
    fn blob(&mut self) {
        if let Ok(inner) = self.quoted('\'') {
            self.name_in('\'', inner, '\'');
        }
        self.before = Before::Operand;
    }

    /// Takes what is quoted, without its quotes. Doubled quotes are part of it, and quotes inside `%{…}`.
    fn quoted(&mut self, close: char) -> Result<&'q str, String> {
        let inner = &self.rest[1..];
        let mut at = 0;
        while let Some(c) = inner[at..].chars().next() {
            if c == '%' && inner[at..].contains('{') {
                // A variable without braces is passed by its sign alone: it could swallow the quote.
                let length = variable_length(&inner[at..]);
                at += if inner[at..at + length].contains('{') { length } else { 1 };
            } else if c != close {
                at += c.len_utf8();
            } else if close != ']' && inner[at + 1..].starts_with(close) {
                at += 2;
            } else {
                self.rest = &inner[at + 1..];
                return Ok(&inner[..at]);
            }
        }
        Err(format!("{} has no end", &self.rest[..1]))
    }

    fn name_in(&mut self, open: char, name: &str, close: char) {
        self.text(&open.to_string());
        self.name(name);
        self.text(&close.to_string());
    }

    /// A name as text with variables between, each of which has to be fit by itself.
    fn name(&mut self, mut name: &str) {
        while let Some(at) = name.find('%') {
            self.text(&name[..at]);
            let (variable, rest) = name[at..].split_at(variable_length(&name[at..]));
            match variable {
                "%%" => self.text("%"),
                _ => self.pieces.push(Piece::Name(Template::parse(variable))),
            }
            name = rest;
        }
        self.text(name);
    }

    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    fn take(&mut self, length: usize) -> &'q str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }
}

/// Characters of names, keywords and numbers, and those that begin a parameter.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '@' | ':' | '?' | '#') || !c.is_ascii()
}

/// How many bytes the variable at the beginning takes: `%`, offset and width, modifiers, and a character
/// or a name in braces.
fn variable_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while chars.next_if(|(_, c)| c.is_ascii_digit() || matches!(c, '-' | '.')).is_some() {}
    while chars.next_if(|(_, c)| "LUEXRMDTHN".contains(*c)).is_some() {}
    let Some((at, c)) = chars.next() else { return text.len() };
    if c != '{' {
        return at + c.len_utf8();
    }
    let mut depth = 1;
    for (at, c) in chars {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use auth::fields::Fields;

    use super::super::super::testing::Asker;
    use super::*;

    fn bound(text: &str, user: &str) -> Result<Bound, String> {
        let mut asker = Asker::new(user);
        asker.facts.peer.local_port = 143;
        let fields = Fields::default();
        let request = Request {
            facts: &asker.facts,
            identity: &asker.identity,
            fields: &fields,
            userdb: &fields,
            password: None,
            passdb_id: 1,
        };
        Query::parse("password_query", text)?.bind(&request)
    }

    /// The statement and its values as one line.
    fn shown(text: &str, user: &str) -> String {
        match bound(text, user) {
            Ok(bound) => format!("{} {:?}", bound.statement, bound.values),
            Err(fault) => fault,
        }
    }

    #[test]
    fn a_literal_with_variables_is_one_parameter() {
        assert_eq!(
            shown("SELECT 'Y' as x FROM u WHERE a = '%u'", "it's"),
            r#"SELECT 'Y' as x FROM u WHERE a = ?1 [Text("it's")]"#
        );
        assert_eq!(
            shown("a='%n/%d' AND b='it''s %u'", "x@y"),
            r#"a=?1 AND b=?2 [Text("x/y"), Text("it's x@y")]"#
        );
        assert_eq!(shown("a LIKE '%%%u%%'", "x"), r#"a LIKE ?1 [Text("%x%")]"#);
        assert_eq!(shown("a = 'it''s' ;  ", "x"), "a = 'it''s' []");
        assert_eq!(shown("a = '%{if;%u;eq;'x';1;2}'", "'x'"), r#"a = ?1 [Text("1")]"#);
    }

    #[test]
    fn a_variable_of_its_own_is_a_parameter_too() {
        assert_eq!(shown("id=%u AND p=%a", "42"), "id=?1 AND p=?2 [Number(42), Number(143)]");
        assert_eq!(shown("id=%u", "1 OR 1=1"), r#"id=?1 [Text("1 OR 1=1")]"#);
        assert_eq!(shown("id=%u", "007"), r#"id=?1 [Text("007")]"#);
        assert_eq!(shown("id=%{user}, %Lu)", "X"), r#"id=?1, ?2) [Text("X"), Text("x")]"#);
        assert_eq!(shown("id %% 2 = %a", "x"), "id % 2 = ?1 [Number(143)]");
    }

    #[test]
    fn a_name_takes_letters_and_digits_only() {
        assert_eq!(shown("FROM users_%d WHERE 1", "a@b_1"), "FROM users_b_1 WHERE 1 []");
        assert_eq!(shown("FROM %d", "a@b"), "FROM b []");
        assert_eq!(shown("FROM 'users_%d'", "a@b"), "FROM \"users_b\" []");
        assert_eq!(shown("FROM \"%d\".x, `t_%n`, [q%n]", "a@b"), "FROM \"b\".x, `t_a`, [qa] []");
        assert_eq!(shown("SELECT %n.password", "a"), "SELECT a.password []");
        for user in [
            "a@b;c",
            "a@b c",
            "a@b'",
            "a@b--",
            "a@",
            "a@b.c",
            "a@é",
            "a@b\"",
            &format!("a@{}", "b".repeat(65)),
        ] {
            assert!(shown("FROM users_%d", user).ends_with("is not fit for a name"), "{user}");
            assert!(shown("FROM `users_%d`", user).ends_with("is not fit for a name"), "{user}");
        }
    }

    #[test]
    fn double_quotes_are_text_where_something_is_compared() {
        assert_eq!(shown("WHERE a = \"%u\"", "password"), r#"WHERE a = ?1 [Text("password")]"#);
        assert_eq!(shown("WHERE \"a\" LIKE \"%u\"", "x"), r#"WHERE "a" LIKE ?1 [Text("x")]"#);
        assert_eq!(
            shown("SELECT \"%u\"", "x"),
            "password_query: \"%u\" could be a name or text (write '%u' for text)"
        );
    }

    #[test]
    fn comments_hold_no_variables_and_hide_no_quotes() {
        assert_eq!(shown("a /* '%u */ = '%u' -- it's %z", "x"), r#"a   = ?1 [Text("x")]"#);
        assert_eq!(shown("a = '--%u' /* open", "x"), r#"a = ?1 [Text("--x")]"#);
        assert_eq!(shown("a = '/*' AND b = '%u'", "x"), r#"a = '/*' AND b = ?1 [Text("x")]"#);
    }

    #[test]
    fn blobs_take_digits_only() {
        assert_eq!(shown("a = x'%u'", "0aFF"), "a = x'0aFF' []");
        assert!(shown("a = X'%u'", "' OR 1 --").ends_with("is not fit for a name"));
        assert_eq!(shown("max'%u'", "x"), "max?1 [Text(\"x\")]");
    }

    #[test]
    fn what_has_no_end_is_refused() {
        assert_eq!(shown("a = 'b", "x"), "password_query: ' has no end");
        assert_eq!(shown("a = \"b", "x"), "password_query: \" has no end");
    }

    #[test]
    fn unknown_variables_are_told_beforehand_and_fail() {
        let query = Query::parse("user_query", "a = '%z' AND b = %{nosuch}").unwrap();
        assert_eq!(query.faults().len(), 2);
        assert!(shown("a = '%z'", "x").starts_with("password_query: "));
    }

    // Whatever a query looks like, the statement does not depend on the user, or only by harmless words.
    #[test]
    fn no_value_reaches_a_statement() {
        let parts = [
            "'", "%u", "\"", "`", "[", "]", "--", "/*", "*/", " ", "=", "x", "%{", "}", "%%", "''", "(", ".",
            "FROM ",
        ];
        let mut random = 3u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..random % 12 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(parts[(random >> 33) as usize % parts.len()]);
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let hostile = "~'\"`]--*/;\u{7f}";
            if let Ok(bound) = bound(&text, hostile) {
                assert!(!bound.statement.contains('~'), "{text:?} became {:?}", bound.statement);
            }
        }
    }
}
