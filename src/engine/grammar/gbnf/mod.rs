//! GBNF, llama.cpp's notation of grammars, into Lark.
//!
//! A grammar in GBNF has no words: it is about characters. So each character is a word of its own in Lark, where words
//! would otherwise take as many characters as they can get.

mod parser;

use std::collections::{BTreeSet, HashMap};

pub(super) use parser::parse;

/// The rules of a grammar; `root` is one of them.
pub(super) struct Rules {
    names: HashMap<String, usize>,
    bodies: Vec<Option<Node>>,
    root: usize,
}

enum Node {
    Character(Characters),
    /// A token of the model's by its id, or any other.
    Token {
        id: u32,
        negated: bool,
    },
    Rule(usize),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Repeat {
        node: Box<Node>,
        least: u32,
        most: Option<u32>,
    },
}

struct Characters {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Rules {
    /// Refuses rules that nothing can satisfy, since they call themselves whatever way is taken.
    fn check_ends(&self) -> Result<(), String> {
        let mut ending = BTreeSet::new();
        loop {
            let before = ending.len();
            for (rule, body) in self.bodies.iter().enumerate() {
                if body.as_ref().is_some_and(|body| body.ends(&ending)) {
                    ending.insert(rule);
                }
            }
            if ending.len() == before {
                break;
            }
        }
        let endless =
            self.names.iter().filter(|(_, rule)| !ending.contains(rule)).map(|(name, _)| name.as_str()).min();
        endless.map_or(Ok(()), |name| Err(format!("its rule {name} calls itself without end")))
    }

    /// The same grammar in Lark.
    pub(super) fn to_lark(&self) -> String {
        let mut lark = format!("start: r{}\n", self.root);
        for (rule, body) in self.bodies.iter().enumerate() {
            if let Some(body) = body {
                lark += &format!("r{rule}: ");
                body.write(&mut lark);
                lark.push('\n');
            }
        }
        lark
    }
}

impl Node {
    /// Whether something finite satisfies it, as far as is known of the rules that it calls.
    fn ends(&self, ending: &BTreeSet<usize>) -> bool {
        match self {
            Self::Character(_) | Self::Token { .. } => true,
            Self::Rule(rule) => ending.contains(rule),
            Self::Sequence(nodes) => nodes.iter().all(|node| node.ends(ending)),
            Self::Choice(nodes) => nodes.iter().any(|node| node.ends(ending)),
            Self::Repeat { node, least, .. } => *least == 0 || node.ends(ending),
        }
    }

    fn write(&self, lark: &mut String) {
        match self {
            Self::Character(characters) => characters.write(lark),
            Self::Token { id, negated } => *lark += &format!("<[{}{id}]>", if *negated { "^" } else { "" }),
            Self::Rule(rule) => *lark += &format!("r{rule}"),
            Self::Sequence(nodes) if nodes.is_empty() => *lark += "\"\"",
            Self::Sequence(nodes) => join(nodes, " ", lark),
            Self::Choice(nodes) => {
                lark.push('(');
                join(nodes, " | ", lark);
                lark.push(')');
            }
            Self::Repeat { node, least, most } => {
                lark.push('(');
                node.write(lark);
                *lark += &match most {
                    Some(most) => format!("){{{least},{most}}}"),
                    None => format!("){{{least},}}"),
                };
            }
        }
    }
}

fn join(nodes: &[Node], between: &str, lark: &mut String) {
    for (at, node) in nodes.iter().enumerate() {
        *lark += if at == 0 { "" } else { between };
        node.write(lark);
    }
}

impl Characters {
    fn write(&self, lark: &mut String) {
        *lark += if self.negated { "/[^" } else { "/[" };
        for (first, last) in &self.ranges {
            *lark += &format!("\\x{{{:x}}}-\\x{{{:x}}}", u32::from(*first), u32::from(*last));
        }
        *lark += "]/";
    }
}
