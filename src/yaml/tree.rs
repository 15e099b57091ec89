//! The tree: built from the events of the parser beneath serde-saphyr, since serde itself stops at the first fault and
//! knows no places inside untyped values.

use super::{
    Mark, Notes,
    traps::{Plain, Trap, plain},
};
use serde_json::Number;
use serde_yaml::granit_parser::{self as granit, ErrorKind, Event, Parser, ScalarStyle, ScanError, Tag};
use std::{borrow::Cow, collections::HashMap};

/// How many nodes a file may have once its aliases are followed.
const BUDGET: usize = 250_000;
/// How deep lists and mappings may lie in each other.
const DEPTH: usize = 64;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub mark: Mark,
    /// What it is.
    pub kind: Kind,
    /// The spelling means something else elsewhere; noted as a fault when it was read.
    pub trap: Option<Trap>,
}

/// The kinds of values: those of JSON.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "JSON's own words")]
pub enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Where it stands.
    pub mark: Mark,
}

impl Node {
    /// The value as JSON; places are lost.
    pub fn json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Number(n) => Value::Number(n.clone()),
            Kind::Text(t) => Value::String(t.clone()),
            Kind::List(items) => items.iter().map(Self::json).collect(),
            Kind::Map(entries) => entries.iter().map(|(k, v)| (k.text.clone(), v.json())).collect(),
        }
    }
    /// What it is, in words.
    pub fn words(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(b) => format!("`{b}`"),
            Kind::Number(n) => format!("the number {n}"),
            Kind::Text(t) if t.chars().count() <= 40 => format!("the text `{t}`"),
            Kind::Text(_) => "a text".to_owned(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        }
    }
    fn size(&self) -> usize {
        match &self.kind {
            Kind::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Kind::Map(entries) => 1 + entries.iter().map(|(_, v)| v.size()).sum::<usize>(),
            _ => 1,
        }
    }
}

/// Reads one document. None where it is no YAML; then the notes say where and why. An empty file is [`Kind::Null`].
pub fn parse(notes: &mut Notes, text: &str) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(at) = text.find(['\u{e000}', '\u{e001}']) {
        let mark = mark_at(text, at);
        notes.error(mark, "this character (U+E000 or U+E001) is not allowed: svcops marks secrets with it");
        return None;
    }
    let options = granit::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
        emit_unresolved_aliases: true,
    };
    let mut builder = Builder {
        notes,
        text,
        frames: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        nodes: 0,
        tag: Mark::default(),
    };
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                scan_fault(builder.notes, text, &error);
                return None;
            }
        };
        let mark = mark_of(span);
        builder.tag = span.tag_span().map_or(mark, mark_of);
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents == 2 {
                    builder.notes.hinted(
                        Mark { length: 3, ..mark },
                        "a second document begins here",
                        "a file holds one; drop the `---` or split the file",
                    );
                    return None;
                }
            }
            event => {
                if !builder.take(event, mark) {
                    return None;
                }
            }
        }
    }
    let empty = Node { mark: Mark { line: 1, column: 1, length: 0 }, kind: Kind::Null, trap: None };
    Some(builder.root.unwrap_or(empty))
}

struct Builder<'b> {
    notes: &'b mut Notes,
    text: &'b str,
    frames: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    /// Where the tag of the node at hand stands.
    tag: Mark,
}

struct Frame {
    mark: Mark,
    anchor: usize,
    /// None for a list.
    map: Option<Vec<(Key, Node)>>,
    list: Vec<Node>,
    key: Option<Key>,
    bad_key: bool,
}

impl Builder<'_> {
    /// False: nothing more can be made of the file.
    fn take(&mut self, event: Event<'_>, mark: Mark) -> bool {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(text.into_owned(), style, tag, mark);
                self.put(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => self.open(mark, anchor, tag, false),
            Event::MappingStart(_, anchor, tag) => self.open(mark, anchor, tag, true),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    self.notes.error(mark, "this alias stands inside what it names");
                    return false;
                };
                let node = Node { mark, ..node.clone() };
                self.nodes += node.size() - 1;
                self.put(node, 0)
            }
            Event::UnresolvedAlias(name) => {
                let hint = format!("`&{name}` must stand before it; a text that begins with `*` needs quotes");
                self.notes.hinted(mark, format!("the alias `*{name}` names nothing"), hint);
                self.put(Node { mark, kind: Kind::Null, trap: None }, 0)
            }
            _ => true,
        }
    }

    fn open(&mut self, mark: Mark, anchor: usize, tag: Option<Cow<'_, Tag>>, map: bool) -> bool {
        if let Some(tag) = tag {
            let fits = tag.core_suffix() == Some(if map { "map" } else { "seq" });
            if !fits {
                self.notes.error(self.tag, format!("the tag `{}` is not understood here", tag.original()));
            }
        }
        let map = map.then(Vec::new);
        self.frames.push(Frame { mark, anchor, map, list: Vec::new(), key: None, bad_key: false });
        true
    }

    fn close(&mut self) -> bool {
        let Some(frame) = self.frames.pop() else { return true };
        let kind = match frame.map {
            Some(entries) => {
                self.doubles(&entries);
                Kind::Map(entries)
            }
            None => Kind::List(frame.list),
        };
        self.put(Node { mark: frame.mark, kind, trap: None }, frame.anchor)
    }

    fn put(&mut self, node: Node, anchor: usize) -> bool {
        self.nodes += 1;
        if self.nodes > BUDGET {
            let message = format!("the file holds more than {BUDGET} values once its aliases are followed");
            self.notes.hinted(node.mark, message, "aliases of aliases grow without bounds: write it out, or split it");
            return false;
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return true;
        };
        let Some(entries) = &mut frame.map else {
            frame.list.push(node);
            return true;
        };
        if let Some(key) = frame.key.take() {
            entries.push((key, node));
        } else if std::mem::take(&mut frame.bad_key) {
            // The value of a key that was refused.
        } else if let Kind::Text(text) = node.kind {
            if text == "<<" {
                let hint = "merge keys are not part of YAML 1.2: write the keys out";
                self.notes.hinted(node.mark, "`<<` is not understood", hint);
                frame.bad_key = true;
            } else {
                frame.key = Some(Key { text, mark: node.mark });
            }
        } else {
            let text = match &node.kind {
                Kind::Number(n) => Some(n.to_string()),
                Kind::Bool(b) => Some(b.to_string()),
                _ => None,
            };
            if let Some(text) = text {
                let hint = format!("write \"{text}\"");
                self.notes.hinted(node.mark, format!("a key is a text, but `{text}` is none"), hint);
            } else if self
                .text
                .lines()
                .nth(frame.mark.line.saturating_sub(1) as usize)
                .is_some_and(|l| l.chars().skip(frame.mark.column.saturating_sub(1) as usize).take(2).eq("{{".chars()))
            {
                let hint = "put the whole value in quotes: \"{{ … }}\"";
                self.notes.hinted(Mark { length: 2, ..frame.mark }, "an expression needs quotes around it", hint);
            } else {
                self.notes.error(node.mark, format!("a key is a text, but this is {}", node.words()));
            }
            frame.bad_key = true;
        }
        true
    }

    fn doubles(&mut self, entries: &[(Key, Node)]) {
        let mut keys: Vec<&Key> = entries.iter().map(|(key, _)| key).collect();
        keys.sort_by(|a, b| {
            a.text.cmp(&b.text).then(a.mark.line.cmp(&b.mark.line)).then(a.mark.column.cmp(&b.mark.column))
        });
        for (one, two) in keys.iter().zip(keys.iter().skip(1)) {
            if one.text == two.text {
                let message =
                    format!("`{}` stands here a second time; the first is on line {}", two.text, one.mark.line);
                self.notes.hinted(two.mark, message, "keep one of them");
            }
        }
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, tag: Option<Cow<'_, Tag>>, mark: Mark) -> Node {
        let in_key = self.frames.last().is_some_and(|f| f.map.is_some() && f.key.is_none() && !f.bad_key);
        let (mut meaning, mut trap) = match style {
            ScalarStyle::Plain => plain(&text),
            _ => (Plain::Text, None),
        };
        if let Some(tag) = tag {
            match tag.core_suffix() {
                Some("str") => (meaning, trap) = (Plain::Text, None),
                Some("int" | "float") if matches!(meaning, Plain::Number(_)) => {}
                Some("bool") if matches!(meaning, Plain::Bool(_)) => {}
                Some("null") if matches!(meaning, Plain::Null) => {}
                _ => self.notes.hinted(
                    self.tag,
                    format!("the tag `{}` is not understood here", tag.original()),
                    "a text that begins with `!` needs quotes",
                ),
            }
        }
        if let Some(trap) = trap.filter(|_| !in_key) {
            self.trapped(&text, trap, mark);
        }
        let kind = match meaning {
            Plain::Null => Kind::Null,
            Plain::Bool(b) => Kind::Bool(b),
            Plain::Number(n) => Kind::Number(n),
            Plain::Text => Kind::Text(text),
        };
        Node { mark, kind, trap: trap.filter(|_| !in_key) }
    }

    fn trapped(&mut self, text: &str, trap: Trap, mark: Mark) {
        let notes = &mut *self.notes;
        match trap {
            Trap::Word(b) => notes.warning(
                mark,
                format!("`{text}` is a text in YAML 1.2, a boolean in YAML 1.1"),
                format!("write {b}, or \"{text}\" if the text is meant"),
            ),
            Trap::Zero => notes.hinted(
                mark,
                format!("`{text}` begins with a zero: octal in YAML 1.1, decimal in YAML 1.2"),
                format!("write \"{text}\", in quotes"),
            ),
            Trap::Sixty => notes.warning(
                mark,
                format!("`{text}` is a text in YAML 1.2, a number to base 60 in YAML 1.1"),
                format!("write \"{text}\", in quotes"),
            ),
            Trap::Underscore => notes.warning(
                mark,
                format!("`{text}` is a text in YAML 1.2, a number in YAML 1.1"),
                format!("write {}, or \"{text}\" if the text is meant", text.replace('_', "")),
            ),
        }
    }
}

fn mark_of(span: granit::Span) -> Mark {
    let (line, column) = (span.start.line(), span.start.col());
    let length = if span.end.line() == line { span.end.col().saturating_sub(column) } else { 0 };
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Mark { line: small(line), column: small(column + 1), length: small(length) }
}

fn mark_at(text: &str, byte: usize) -> Mark {
    let before = text.get(..byte).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let column = before.get(start..).unwrap_or("").chars().count() + 1;
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Mark { line: small(before.matches('\n').count() + 1), column: small(column), length: 1 }
}

/// Words for the mistakes that people make; the parser's own for the rest.
fn scan_fault(notes: &mut Notes, text: &str, error: &ScanError) {
    let at = error.marker();
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let last = text.lines().count().max(1);
    let line = at.line().clamp(1, last);
    let mark = Mark { line: small(line), column: small(if at.line() > last { 1 } else { at.col() + 1 }), length: 1 };
    let quote = "a text with `: `, ` #`, or one that begins with any of `{[*&!|>%@` and quotes, needs quotes around it";
    let tabbed =
        text.lines().nth(line - 1).is_some_and(|l| l.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t'));
    match error.kind() {
        _ if tabbed => notes.hinted(Mark { column: 1, ..mark }, "a tab cannot indent", "use spaces, two a level"),
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            notes.hinted(mark, "a tab cannot stand here", "use spaces");
        }
        ErrorKind::UnclosedQuotedScalar => notes.hinted(mark, "this quote is never closed", "add the missing quote"),
        ErrorKind::UnclosedFlowCollection { open } => {
            notes.error(mark, format!("this `{open}` is never closed"));
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            notes.error(mark, format!("`{close}` closes what `{open}` opened"));
        }
        ErrorKind::MisplacedFlowCollectionEnd => notes.error(mark, "this bracket closes nothing"),
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            notes.hinted(mark, "something follows the closing quote", "put the quotes around the whole value");
        }
        ErrorKind::UnknownQuotedScalarEscape => {
            notes.hinted(mark, "unknown escape in double quotes", "write \\\\ for a backslash, or use single quotes");
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            notes.hinted(mark, "a `:` cannot stand here", quote);
        }
        ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockMappingKey | ErrorKind::ExpectedBlockSequenceEntry => {
            notes.hinted(mark, "the indentation fits no level above", "line it up with what it belongs to");
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
            let close = if matches!(error.kind(), ErrorKind::ExpectedFlowMappingSeparator) { '}' } else { ']' };
            let hint = "a bracket above may be open, or a text that holds brackets needs quotes around it";
            notes.hinted(mark, format!("`,` or `{close}` expected here"), hint);
        }
        ErrorKind::RecursionLimitExceeded => {
            notes.error(mark, format!("lists and mappings lie more than {DEPTH} deep in each other"));
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            notes.hinted(mark, "a key with `:` is expected here", "each line of a mapping is `key: value`");
        }
        other => notes.error(mark, format!("this is no YAML: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> (Option<serde_json::Value>, Vec<String>) {
        let mut notes = Notes::on("f");
        let node = parse(&mut notes, text);
        let faults = notes.faults.settled().0;
        let lines = faults.iter().map(|f| format!("{}:{}+{} {}", f.spot.line, f.spot.column, f.length, f.message));
        (node.map(|n| n.json()), lines.collect())
    }

    #[test]
    fn a_tree_is_the_same_with_a_mark_and_foreign_line_ends() {
        let text = "имя: [1, двa]\nв: {a: 'x', \"b\": ~}\nlong: |\n  one\n  two\n";
        let want = json!({"имя": [1, "двa"], "в": {"a": "x", "b": null}, "long": "one\ntwo\n"});
        assert_eq!(read(text), (Some(want.clone()), vec![]));
        assert_eq!(read(&format!("\u{feff}{}", text.replace('\n', "\r\n"))), (Some(want), vec![]));
    }

    #[test]
    fn places_are_counted_in_characters() {
        let mut notes = Notes::on("f");
        let node = parse(&mut notes, "\u{feff}имя: хост\r\nк: {я: да}\r\n").unwrap();
        let Kind::Map(entries) = node.kind else { panic!() };
        assert_eq!(entries[0].1.mark, Mark { line: 1, column: 6, length: 4 });
        let Kind::Map(inner) = &entries[1].1.kind else { panic!() };
        assert_eq!((inner[0].0.mark, inner[0].1.mark.column), (Mark { line: 2, column: 5, length: 1 }, 8));
    }

    #[test]
    fn every_double_key_is_named() {
        let (_, faults) = read("a: 1\nb: {x: 1, x: 2}\na: 2\n");
        assert_eq!(
            faults,
            [
                "2:11+1 `x` stands here a second time; the first is on line 2",
                "3:1+1 `a` stands here a second time; the first is on line 1"
            ]
        );
    }

    #[test]
    fn what_is_no_yaml_is_named_with_its_place() {
        for (text, want) in [
            ("a: 'x\nb: 2\n", "1:4+1 this quote is never closed"),
            ("a:\n\tb: 1\n", "2:1+1 a tab cannot indent"),
            ("a: [1, 2\n", "1:4+1 this `[` is never closed"),
            ("a: 1\n---\nb: 2\n", "2:1+3 a second document begins here"),
            ("a: b: c\n", "1:5+1 a `:` cannot stand here"),
        ] {
            assert_eq!(read(text), (None, vec![want.to_owned()]), "{text}");
        }
    }

    #[test]
    fn aliases_are_followed_within_a_budget() {
        assert_eq!(read("a: &x {k: 1}\nb: *x\n").0, Some(json!({"a": {"k": 1}, "b": {"k": 1}})));
        assert_eq!(read("b: *x\n").1, ["1:4+2 the alias `*x` names nothing"]);
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for i in 1..9 {
            let of = format!("*a{}, ", i - 1).repeat(9);
            bomb += &format!("a{i}: &a{i} [{}]\n", of.trim_end_matches(", "));
        }
        let (tree, faults) = read(&bomb);
        assert!(tree.is_none() && faults[0].contains("more than 250000 values"), "{faults:?}");
        let deep = "[".repeat(20_000);
        assert!(read(&deep).1[0].contains("deep"), "{:?}", read(&deep).1);
    }

    #[test]
    fn an_expression_without_quotes_gets_a_hint() {
        assert_eq!(read("url: {{ host.name }}\n").1, ["1:6+2 an expression needs quotes around it"]);
    }

    #[test]
    fn unknown_tags_and_merge_keys_are_refused() {
        assert_eq!(read("a: !vault x\n").1, ["1:4+6 the tag `!vault` is not understood here"]);
        assert_eq!(read("a: !!str 0644\n"), (Some(json!({"a": "0644"})), vec![]));
        assert_eq!(read("x: &x {k: 1}\ny: {<<: *x}\n").1, ["2:5+2 `<<` is not understood"]);
    }
}
