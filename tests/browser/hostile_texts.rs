//! Texts that once kept a page from answering, or ended it, and their like.

pub fn display(formula: &str) -> String {
    format!("$${formula}$$")
}

pub fn nested(open: &str, depth: usize, close: &str) -> String {
    format!("{}x{}", open.repeat(depth), close.repeat(depth))
}

pub fn formulas() -> Vec<String> {
    let mut texts: Vec<String> = ["sqrt", "overbrace", "hat", "underline", "widetilde", "boxed"]
        .iter()
        .flat_map(|command| {
            [60, 150, 240].map(|depth| display(&nested(&format!("\\{command}{{"), depth, "}")))
        })
        .collect();
    let matrix =
        |rows: usize| display(&format!("\\begin{{matrix}}{}\\end{{matrix}}", "a&b&c&d\\\\".repeat(rows)));
    let names = || ('b'..='i').zip('a'..='h');
    let chain: String = names()
        .map(|(name, before)| format!("\\def\\{name}{{{}}}", format!("\\{before}").repeat(10)))
        .collect();
    texts.extend([
        display(&nested("\\frac{1}{1+", 150, "}")),
        display(&nested("x^{", 300, "}")),
        display(&nested("{", 900, "}")),
        display(&nested("\\left(", 100, "\\right)")),
        display(&nested("\\sqrt{\\overbrace{\\hat{\\underline{", 40, "}}}}")),
        display(&nested("\\underbrace{x", 100, "}_{y}")),
        display(&nested("\\begin{matrix}", 30, "\\end{matrix}")),
        display(&nested("\\colorbox{red}{$", 50, "$}")),
        display(&format!("{}x", "\\sqrt".repeat(300))),
        display(&format!("\\begin{{matrix}}{}{}\\end{{matrix}}", "&".repeat(900), "\\\\".repeat(400))),
        display(&format!("\\def\\a{{{}}}{}", "x".repeat(1_000), "\\a".repeat(190))),
        display(&format!("{chain}\\i")),
        display(&format!("a{}", "\u{301}".repeat(1_900))),
        vec![matrix(100); 100].join("\n\n"),
        vec![display("\\sum_{i=0}^n \\frac{a_i}{\\sqrt{b_i}}"); 700].join("\n\n"),
        "$\\sqrt{x}$ ".repeat(700),
        format!("- ${}$\n", nested("\\sqrt{", 150, "}")),
        format!("| a |\n| - |\n| ${}$ |", nested("\\hat{", 200, "}")),
        format!("```math\n{}\n```", nested("\\sqrt{", 3_000, "}")),
        format!("```math\n{}x\n```", "x+".repeat(40_000)),
    ]);
    texts
}

pub fn letters() -> Vec<String> {
    let marks = |count: usize| "\u{301}".repeat(count);
    let range = |from: u32, to: u32| (from..to).filter_map(char::from_u32).collect::<String>();
    vec![
        format!("a{}", marks(30_000)),
        format!("a{}", marks(190_000)),
        format!("# a{}", marks(20_000)),
        format!("| a |\n| - |\n| a{} |", marks(20_000)),
        format!("```\na{}\n```", marks(30_000)),
        format!("```rust\n// a{}\n```", marks(20_000)),
        format!("**a{}**", marks(20_000)),
        format!("a{}", marks(300)).repeat(300),
        format!("e{}", range(0x300, 0x320)).repeat(900),
        "👩\u{200d}".repeat(10_000),
        "\u{1100}".repeat(30_000),
        "क\u{94d}".repeat(15_000),
        "\u{202e}abc\u{202c} ".repeat(10_000),
        "\u{2066}".repeat(20_000),
        "aא".repeat(20_000),
        range(0xa1, 0xd7ff),
        range(0x10000, 0x15000),
        "a".repeat(190_000),
        format!("```\n{}\n```", "a".repeat(190_000)),
        format!("{}a", " ".repeat(190_000)),
    ]
}

pub fn markdown() -> Vec<String> {
    let paragraphs = |text: &str, count: usize| vec![text; count].join("\n\n");
    let stairs: String = (0..200).map(|depth| format!("{}- a\n", "  ".repeat(depth))).collect();
    vec![
        paragraphs(&"*a_".repeat(950), 10),
        paragraphs(&"*a_".repeat(950), 60),
        paragraphs(&"**a *b ".repeat(400), 10),
        "**a".repeat(1_400),
        "*".repeat(79_000),
        "~a~~ ".repeat(10_000),
        "[".repeat(20_000),
        "[](".repeat(10_000),
        "[a](<b".repeat(8_000),
        format!("{}a{}", "[".repeat(5_000), "](b)".repeat(5_000)),
        (0..1_000).map(|at| format!("{}a", "`".repeat(at % 300))).collect(),
        "http://a.b ".repeat(6_000),
        format!("{}@", "a.a".repeat(20_000)),
        "<a ".repeat(20_000),
        "<!--".repeat(10_000),
        format!("> a\n{}", "a\n".repeat(5_000)),
        "> a\na\n".repeat(2_500),
        "> a\n".repeat(20_000),
        format!("{}a\n{}", "> ".repeat(15), "b\n".repeat(2_000)),
        format!("{}a\n\n", "> ".repeat(15)).repeat(500),
        ">".repeat(20_000),
        stairs,
        "- a\n".repeat(20_000),
        "- a\n\n".repeat(10_000),
        format!("- a\n{}", "a\n".repeat(10_000)),
        "- > a\n".repeat(4_000),
        "- ```\n  a\n  ```\n".repeat(2_000),
        "# a\n".repeat(15_000),
        format!("{}===", "a\n".repeat(20_000)),
        (0..4_000).map(|at| format!("[a{at}]: b\n")).chain(["\n".into(), "[a1] ".repeat(4_000)]).collect(),
        format!("|{}\n|{}\n{}", "a|".repeat(1_500), "-|".repeat(1_500), "|\n".repeat(4_000)),
        format!("| a | b |\n| - | - |\n{}", "| a | b |\n".repeat(8_000)),
        "```\na\n```\n".repeat(8_000),
        format!("```\n{}", "a\n".repeat(95_000)),
        format!("```rust\n{}```", "let x = 1;\n".repeat(17_000)),
        format!("```js\n{}\n```", "a({[".repeat(7_000)),
        "a\n".repeat(95_000),
        "a\n".repeat(190_000),
        "\n".repeat(150_000) + "a",
        "a\n\n".repeat(50_000),
        "The embers glow while it waits, and nothing leads on. ".repeat(18_000),
        format!("<think>{}", "a\n".repeat(90_000)),
        format!("<think>\n> a\n{}</think>\n\nx", "a\n".repeat(5_000)),
        "$a".repeat(20_000),
        "\\(".repeat(30_000),
    ]
}
