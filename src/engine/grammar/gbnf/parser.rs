//! Reads GBNF.

use std::collections::HashMap;

use super::super::DEEPEST;
use super::{Characters, Node, Rules};

/// Most repetitions that `{…}` may ask for.
const MOST_REPETITIONS: u32 = 2_000;

/// Reads a grammar; `token` knows the ids of tokens by what they are called. An error says what is wrong, and in which line.
pub(in crate::engine::grammar) fn parse(
    text: &str,
    token: impl Fn(&str) -> Option<u32>,
) -> Result<Rules, String> {
    let mut parser =
        Parser { rest: text, names: HashMap::new(), bodies: Vec::new(), token: &token, depth: 0 };
    let parsed = parser.rules();
    let line = text[..text.len() - parser.rest.len()].lines().count().max(1);
    parsed.map_err(|why| format!("line {line}: {why}"))?;
    let Parser { names, bodies, .. } = parser;
    let undefined =
        names.iter().filter(|&(_, &rule)| bodies[rule].is_none()).map(|(name, _)| name.as_str()).min();
    if let Some(name) = undefined {
        return Err(format!("there is no rule {name}"));
    }
    let root = *names.get("root").ok_or("its rule root must be there")?;
    let rules = Rules { names, bodies, root };
    rules.check_ends()?;
    Ok(rules)
}

struct Parser<'a> {
    rest: &'a str,
    names: HashMap<String, usize>,
    bodies: Vec<Option<Node>>,
    token: &'a dyn Fn(&str) -> Option<u32>,
    /// Brackets that are open.
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rules(&mut self) -> Result<(), String> {
        self.space(true);
        while !self.rest.is_empty() {
            let name =
                self.name().ok_or_else(|| format!("a rule's name is expected, not {}", self.found()))?;
            let rule = self.rule(name);
            self.space(false);
            if !self.eat("::=") {
                return Err(format!("::= is expected behind {name}, not {}", self.found()));
            }
            self.space(true);
            let body = self.choice(false)?;
            if self.bodies[rule].replace(body).is_some() {
                return Err(format!("the rule {name} is there twice"));
            }
            if !self.rest.is_empty() && !self.rest.starts_with(['\r', '\n']) {
                return Err(format!("the end of the line is expected, not {}", self.found()));
            }
            self.space(true);
        }
        Ok(())
    }

    fn choice(&mut self, nested: bool) -> Result<Node, String> {
        let mut nodes = vec![self.sequence(nested)?];
        while self.eat("|") {
            self.space(true);
            nodes.push(self.sequence(nested)?);
        }
        Ok(if nodes.len() == 1 { nodes.swap_remove(0) } else { Node::Choice(nodes) })
    }

    fn sequence(&mut self, nested: bool) -> Result<Node, String> {
        let mut nodes = Vec::new();
        // Where what `*` and the like repeat begins.
        let mut last = 0;
        loop {
            let before = nodes.len();
            match self.rest.chars().next() {
                Some('"') => self.literal(&mut nodes)?,
                Some('[') => nodes.push(Node::Character(self.class()?)),
                Some('.') => {
                    self.eat(".");
                    nodes.push(Node::Character(Characters {
                        negated: false,
                        ranges: vec![('\0', char::MAX)],
                    }));
                }
                Some('(') => {
                    self.eat("(");
                    self.depth += 1;
                    if self.depth > DEEPEST {
                        return Err(format!("brackets may nest {DEEPEST} deep, not deeper"));
                    }
                    self.space(true);
                    nodes.push(self.choice(true)?);
                    if !self.eat(")") {
                        return Err(format!(") is expected, not {}", self.found()));
                    }
                    self.depth -= 1;
                }
                Some('<' | '!') => nodes.push(self.token()?),
                Some('*' | '+' | '?' | '{') => {
                    let (least, most) = self.repetition()?;
                    if last == nodes.len() {
                        return Err("there is nothing to repeat".into());
                    }
                    let node = Box::new(Node::Sequence(nodes.drain(last..).collect()));
                    nodes.push(Node::Repeat { node, least, most });
                    self.space(nested);
                    continue;
                }
                _ => match self.name() {
                    Some(name) => {
                        let rule = self.rule(name);
                        nodes.push(Node::Rule(rule));
                    }
                    None => return Ok(Node::Sequence(nodes)),
                },
            }
            last = before;
            self.space(nested);
        }
    }

    fn literal(&mut self, nodes: &mut Vec<Node>) -> Result<(), String> {
        self.eat("\"");
        while !self.eat("\"") {
            let character = self.character()?;
            nodes.push(Node::Character(Characters { negated: false, ranges: vec![(character, character)] }));
        }
        Ok(())
    }

    fn class(&mut self) -> Result<Characters, String> {
        self.eat("[");
        let negated = self.eat("^");
        let mut ranges = Vec::new();
        while !self.eat("]") {
            let first = self.character()?;
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            let last = match is_range && self.eat("-") {
                true => self.character()?,
                false => first,
            };
            if first > last {
                return Err("a range ends before it begins".into());
            }
            ranges.push((first, last));
        }
        if ranges.is_empty() && !negated {
            return Err("[] matches no character".into());
        }
        if ranges.is_empty() {
            return Ok(Characters { negated: false, ranges: vec![('\0', char::MAX)] });
        }
        Ok(Characters { negated, ranges })
    }

    /// One character of a literal or a class.
    fn character(&mut self) -> Result<char, String> {
        let mut characters = self.rest.chars();
        let character = characters.next().ok_or("it ends too early")?;
        self.rest = characters.as_str();
        if character != '\\' {
            return Ok(character);
        }
        let escape = characters.next().ok_or("it ends too early")?;
        self.rest = characters.as_str();
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            't' => return Ok('\t'),
            'r' => return Ok('\r'),
            'n' => return Ok('\n'),
            '\\' | '"' | '[' | ']' | '-' | '^' => return Ok(escape),
            _ => return Err(format!("\\{escape} means nothing here")),
        };
        let code = self.rest.get(..digits).ok_or("it ends too early")?;
        self.rest = &self.rest[digits..];
        u32::from_str_radix(code, 16)
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(|| format!("\\{escape}{code} is no character"))
    }

    fn token(&mut self) -> Result<Node, String> {
        let negated = self.eat("!");
        let end = self.rest.find('>').filter(|_| self.rest.starts_with('<')).ok_or("<token> is expected")?;
        let (name, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        let number = name.strip_prefix("<[").and_then(|name| name.strip_suffix("]>"));
        let id = match number {
            Some(number) => number.parse().ok(),
            None => (self.token)(name),
        };
        let id = id.ok_or_else(|| format!("this model has no token {name}"))?;
        Ok(Node::Token { id, negated })
    }

    /// Behind `*`, `+`, `?` or `{…}`: the least and the most.
    fn repetition(&mut self) -> Result<(u32, Option<u32>), String> {
        for (sign, counts) in [("*", (0, None)), ("+", (1, None)), ("?", (0, Some(1)))] {
            if self.eat(sign) {
                return Ok(counts);
            }
        }
        let end = self.rest.find('}').ok_or("} is expected")?;
        let (counts, rest) = (&self.rest[1..end], &self.rest[end + 1..]);
        self.rest = rest;
        let number = |text: &str| match text.trim().parse::<u32>() {
            Ok(number) if number <= MOST_REPETITIONS => Ok(number),
            _ => Err(format!("{{{counts}}} may have numbers up to {MOST_REPETITIONS}")),
        };
        let (least, most) = match counts.split_once(',') {
            None => (number(counts)?, Some(number(counts)?)),
            Some((least, most)) => (
                if least.trim().is_empty() { 0 } else { number(least)? },
                if most.trim().is_empty() { None } else { Some(number(most)?) },
            ),
        };
        if most.is_some_and(|most| most < least) {
            return Err(format!("{{{counts}}} allows less than it asks for"));
        }
        Ok((least, most))
    }

    /// Passes over white space and comments; over line ends where they mean nothing.
    fn space(&mut self, lines: bool) {
        loop {
            let blank = |c: char| c == ' ' || c == '\t' || lines && (c == '\r' || c == '\n');
            self.rest = self.rest.trim_start_matches(blank);
            if !self.rest.starts_with('#') {
                return;
            }
            self.rest = self.rest.trim_start_matches(|c| c != '\r' && c != '\n');
        }
    }

    fn name(&mut self) -> Option<&'a str> {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!name.is_empty()).then_some(name)
    }

    fn rule(&mut self, name: &str) -> usize {
        if let Some(&rule) = self.names.get(name) {
            return rule;
        }
        self.bodies.push(None);
        self.names.insert(name.to_owned(), self.bodies.len() - 1);
        self.bodies.len() - 1
    }

    fn eat(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn found(&self) -> String {
        self.rest.chars().next().map_or("the end".into(), |c| format!("{c:?}"))
    }
}
