//! Prompts: plain sentences that no server has seen before.

const WORDS: &str = "a about above after again all along always and another any are around as ask at away back be \
    because been before began below best between big bird boat book both boy bread bright bring brother built but \
    by came can carry children city clear close cloth cold come could country dark day deep did do door down each \
    early earth east end enough even every eye face fall far farm father few field find fire first fish five follow \
    food for form found four friend from full garden gave girl give glass go gold good grass great green ground grow \
    had half hand hard have he head hear heavy help her here high hill him his home horse hour house how in island it \
    journey just keep kind king know lake land large last late lay lead learn leave left letter light like line \
    listen little live long look made make man many market may men might mile milk mind moon more morning most \
    mother mountain move much must name near never new next night no north not now number of off often old on once \
    one only open or other our out over own page paper part people place plant play point poor quick quiet rain ran \
    read real rest right river road rock room round run said sail salt same sand say school sea second see seed seem \
    self send seven shall she ship short should show side silver simple sing sister six sky sleep slow small snow so \
    some song soon south stand star start stay still stone stood stop story street strong such summer sun table take \
    talk tall tell ten than that the their them then there these they thing think this those thought thousand three \
    through time to together told too took town trade travel tree true try turn two under until up us very voice \
    wait walk wall want warm was watch water way we week well went were west what wheel when where which while white \
    who why will wind window winter with without wood word work world would write year yellow yet you young your";

/// A source of text: the same seed gives the same text, another one shares no beginning with it.
pub struct Text {
    state: u64,
    words: Vec<&'static str>,
}

impl Text {
    pub fn new(seed: u64) -> Self {
        Self { state: seed, words: WORDS.split_whitespace().collect() }
    }

    /// Sentences of `count` words in all.
    pub fn words(&mut self, count: usize) -> String {
        let mut text = String::new();
        let mut left_in_sentence = 0;
        for number in 0..count {
            let choice = self.below(self.words.len());
            let word = self.words[choice];
            if left_in_sentence == 0 {
                left_in_sentence = 8 + self.below(9);
                text.push_str(if number == 0 { "" } else { " " });
                text.push_str(&word[..1].to_uppercase());
                text.push_str(&word[1..]);
            } else {
                text.push(' ');
                text.push_str(word);
            }
            left_in_sentence -= 1;
            if left_in_sentence == 0 || number + 1 == count {
                text.push('.');
            }
        }
        text
    }

    /// A text that nobody else has: it begins with a random number.
    pub fn unique(&mut self, words: usize) -> String {
        let number = self.below(1_000_000_000);
        format!("{number:09}: {}", self.words(words))
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.random() % limit.max(1) as u64) as usize
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
